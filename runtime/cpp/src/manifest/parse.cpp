// From the bytes of a manifest to checked objects.
#include <algorithm>

#include "error.hpp"
#include "manifest/model.hpp"

namespace v2v_core {
namespace {

// Before anything else: a newer schema may differ everywhere, and naming a new key would help nobody.
void check_schema(const json::Value& document, std::string_view expected) {
  const json::Value* found = document.find("schema");
  const std::string* schema = found == nullptr ? nullptr : found->string();
  if (schema == nullptr || *schema == expected) return;  // what is missing, the reader says
  const std::string_view family = expected.substr(0, expected.find('/') + 1);
  const std::string_view major = std::string_view(*schema).substr(std::min(family.size(), schema->size()));
  const bool digits = !major.empty() && major.size() <= 9 && major.front() != '0' &&
                      major.find_first_not_of("0123456789") == std::string_view::npos;
  if (schema->starts_with(family) && digits) {
    throw Error{2010, cat("schema: ", quote(*schema)), quote(expected),
                "install a newer v2v runtime, or build the bundle again with this version"};
  }
  throw Error{2011, cat("schema: ", quote(*schema)), quote(expected)};
}

}  // namespace

Manifest parse_manifest(std::string_view text) {
  const json::Value document = json::parse(text);
  check_schema(document, "v2v.bundle/1");
  Manifest manifest = read_manifest(document);
  validate(manifest);
  if (const std::string right = identity(manifest); right != manifest.identity) {
    throw Error{2030, "identity: " + manifest.identity, right,
                "the manifest was changed after it was made: build the bundle again"};
  }
  return manifest;
}

Target parse_target(std::string_view text) {
  const json::Value document = json::parse(text);
  check_schema(document, "v2v.target/1");
  Target target = read_target(document);
  validate_target(target);
  return target;
}

}  // namespace v2v_core
