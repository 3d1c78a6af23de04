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

// Written and read again, with no more of it in memory at once than has to be.
void check_again(v2v_core::json::Value document) {
  std::string written;
  std::string identity;
  {
    const v2v_core::Manifest manifest = v2v_core::read_manifest(document);
    document = {};
    v2v_core::validate(manifest);
    written = v2v_core::json::canonical(v2v_core::to_json(manifest));
    identity = v2v_core::identity(manifest);
  }
  bool same = false;
  try {
    const v2v_core::Manifest again = v2v_core::read_manifest(v2v_core::json::parse(written));
    same = v2v_core::identity(again) == identity && v2v_core::json::canonical(v2v_core::to_json(again)) == written;
  } catch (const v2v_core::Error& error) {
    std::fprintf(stderr, "what was written is refused: %s\n", error.seen.c_str());
  }
  if (!same) {
    std::fputs("a manifest that changes when it is written and read again\n", stderr);
    std::abort();
  }
}

// Whether it says that it is a target, of whatever version; the reader of targets refuses all else by that word.
bool is_target(const v2v_core::json::Value& document) {
  const v2v_core::json::Value* schema = document.find("schema");
  return schema == nullptr || schema->string() == nullptr || schema->string()->starts_with("v2v.target");
}

// A file of safetensors with this header. Its length is put right, or hardly an input that grew or shrank would get
// behind it.
std::string with_length(std::string_view header) {
  std::string file;
  for (unsigned shift = 0; shift < 64; shift += 8) file += static_cast<char>(header.size() >> shift & 0xFFU);
  return file.append(header);
}

void read_tensors(std::string_view file) {
  v2v_test::attempt([&] { v2v_core::parse_tensors(file, static_cast<std::int64_t>(file.size()), "fuzzed"); });
}

}  // namespace

extern "C" long v2v_fuzz_whole() { return whole; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  v2v_test::limited([&] {
    v2v_test::attempt([&] {
      v2v_core::json::Value document = v2v_core::json::parse(text);  // what is no JSON, each reader refuses with this
      if (is_target(document)) v2v_test::attempt([&] { v2v_core::parse_target(text); });
      check_again(std::move(document));
    });
    if (v2v_test::attempt([&] { v2v_core::parse_manifest(text); })) ++whole;
    read_tensors(text);
    read_tensors(with_length(text));
  });
  return 0;
}
