// The one exception type of the library. It never crosses the C boundary. The library's own names are in v2v_core, so
// that a program may link its objects beside v2v.hpp, whose names are in v2v.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <type_traits>

#include "utf8.hpp"

namespace v2v_core {

// Joins texts and integers; std::format is missing from the oldest compiler that builds this.
inline void append(std::string& text, std::string_view part) { text += part; }
inline void append(std::string& text, char part) { text += part; }
template <class Integer>
  requires std::is_integral_v<Integer>
void append(std::string& text, Integer part) {
  text += std::to_string(part);
}
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::string text;
  (append(text, parts), ...);
  return text;
}

// What was seen, what was expected, what to do; `code` is the number of the stable code `V2V-E####`, which has
// the same meaning as in the Python runtime (v2v_runtime/errors.py).
struct Error {
  int code;
  std::string seen;
  std::string expected = {};
  std::string fix = {};

  // What was seen; where that could not be written down, what the code means.
  std::string_view words() const {
    if (!seen.empty()) return seen;
    if (code == 3104) return "there is not enough memory";
    return code == 3105 ? "an unexpected failure inside the library" : "";
  }

  std::string message() const {
    std::string text = cat("[V2V-E", code, "] ", words());
    if (!expected.empty()) text += "\n  expected: " + expected;
    if (!fix.empty()) text += "\n  to do: " + fix;
    return text;
  }
};

// A word for a message: quoted, escaped as in Python, cut where it is long.
inline std::string quote(std::string_view word) {
  std::size_t end = word.size();
  if (end > 64) {
    end = 61;
    while (end > 57 && (static_cast<unsigned char>(word[end]) & 0xC0U) == 0x80U) --end;  // between characters
  }
  std::string text = "'";
  std::array<char, 4> room{};
  for (std::size_t at = 0; at < end;) {
    const std::size_t length = std::max<std::size_t>(utf8_length(word, at), 1);
    text += word[at] == '\\' ? "\\\\" : shown(word.substr(at, length), room);
    at += length;
  }
  return text + (end < word.size() ? "...'" : "'");
}

}  // namespace v2v_core
