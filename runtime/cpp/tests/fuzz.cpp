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

void check_again(const v2v::json::Value& document) {
  const v2v::Manifest manifest = v2v::read_manifest(document);
  v2v::validate(manifest);
  const std::string written = v2v::json::canonical(v2v::to_json(manifest));
  const v2v::Manifest again = v2v::read_manifest(v2v::json::parse(written));
  if (v2v::json::canonical(v2v::to_json(again)) != written || v2v::identity(again) != v2v::identity(manifest)) {
    std::fputs("a manifest that changes when it is written and read again\n", stderr);
    std::abort();
  }
}

template <class Read>
void attempt(const Read& read) {
  try {
    read();
  } catch (const v2v::Error& error) {
    if (error.code < 1000 || error.code > 2999) {
      std::fprintf(stderr, "a code of another kind: %d\n", error.code);
      std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  attempt([&] { v2v::parse_manifest(text); });
  attempt([&] { check_again(v2v::json::parse(text)); });
  attempt([&] { v2v::parse_target(text); });
  attempt([&] { v2v::parse_tensors(text, static_cast<std::int64_t>(size), "fuzzed"); });
  return 0;
}
