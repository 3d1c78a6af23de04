// What backends say of a target's options.
#pragma once

#include <string>
#include <string_view>

#include "error.hpp"
#include "json/value.hpp"

namespace v2v_core {

// Throws Error V2V-E4009: an option holds another value than it may.
[[noreturn]] inline void wrong_option(std::string_view backend, const std::string& name, const json::Value& seen,
                                      std::string_view expected) {
  const std::string* text = seen.string();
  const std::string words = text != nullptr ? *text : json::dump(seen);
  const std::string shown = text != nullptr || words.size() > 64 ? quote(words) : words;
  throw Error{4009, cat("option ", quote(name), " of the ", backend, " backend is ", shown), std::string(expected)};
}

}  // namespace v2v_core
