// What is fuzzed: the readers of manifests, targets and safetensors headers. Any bytes give a value or a code; what is
// read is written and read again as the same.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "bundle/blobs.hpp"
#include "limits.hpp"
#include "manifest/model.hpp"

namespace {

long whole = 0;

void check_again(const v2v_core::json::Value& document) {
  const v2v_core::Manifest manifest = v2v_core::read_manifest(document);
  v2v_core::validate(manifest);
  const std::string written = v2v_core::json::canonical(v2v_core::to_json(manifest));
  const v2v_core::Manifest again = v2v_core::read_manifest(v2v_core::json::parse(written));
  if (v2v_core::json::canonical(v2v_core::to_json(again)) != written ||
      v2v_core::identity(again) != v2v_core::identity(manifest)) {
    std::fputs("a manifest that changes when it is written and read again\n", stderr);
    std::abort();
  }
}

}  // namespace

extern "C" long v2v_fuzz_whole() { return whole; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  v2v_test::limited([&] {
    if (v2v_test::attempt([&] { v2v_core::parse_manifest(text); })) ++whole;
    v2v_test::attempt([&] { check_again(v2v_core::json::parse(text)); });
    v2v_test::attempt([&] { v2v_core::parse_target(text); });
    v2v_test::attempt([&] { v2v_core::parse_tensors(text, static_cast<std::int64_t>(size), "fuzzed"); });
  });
  return 0;
}
