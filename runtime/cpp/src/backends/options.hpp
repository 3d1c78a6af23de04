// What backends say of a target's options.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "error.hpp"
#include "json/value.hpp"

namespace v2v_core {

// Throws Error V2V-E4009: an option that the backend does not have, which is told before any value, as in Python.
inline void check_options(std::string_view backend, const json::Value& given, std::span<const std::string_view> known) {
  std::vector<std::string_view> names(known.begin(), known.end());
  std::sort(names.begin(), names.end());
  for (const auto& [name, value] : *given.object()) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    std::string listed;
    for (const std::string_view each : names) listed += cat(listed.empty() ? "" : ", ", each);
    throw Error{4009, cat("the ", backend, " backend has no option ", quote(name)), "one of " + listed};
  }
}

// Throws Error V2V-E4009: an option holds another value than it may.
[[noreturn]] inline void wrong_option(std::string_view backend, std::string_view name, const json::Value& seen,
                                      std::string_view expected) {
  const std::string* text = seen.string();
  const std::string words = text != nullptr ? *text : json::dump(seen);
  const std::string shown = text != nullptr || words.size() > 64 ? quote(words) : words;
  throw Error{4009, cat("option ", quote(name), " of the ", backend, " backend is ", shown), std::string(expected)};
}

}  // namespace v2v_core
