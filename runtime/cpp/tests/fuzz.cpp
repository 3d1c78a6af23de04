// What is fuzzed: the readers of manifests, targets and safetensors headers. Any bytes give a value or a code; what is
// read is written and read again as the same.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "bundle/blobs.hpp"
#include "error.hpp"
#include "manifest/model.hpp"

namespace {

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

template <class Read>
void attempt(const Read& read) {
  try {
    read();
  } catch (const v2v_core::Error& error) {
    if (error.code < 1000 || error.code > 2999) {
      std::fprintf(stderr, "a code of another kind: %d\n", error.code);
      std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  attempt([&] { v2v_core::parse_manifest(text); });
  attempt([&] { check_again(v2v_core::json::parse(text)); });
  attempt([&] { v2v_core::parse_target(text); });
  attempt([&] { v2v_core::parse_tensors(text, static_cast<std::int64_t>(size), "fuzzed"); });
  return 0;
}
