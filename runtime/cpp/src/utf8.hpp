// What is a character in UTF-8, and how a message shows it.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace v2v_core {

// Bytes of the character that begins at `at`, which lies inside the text; 0: none does.
inline std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
  };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF && tail(1)) return 2;
  if ((first & 0xF0U) == 0xE0 && tail(1) && tail(2)) {
    const bool overlong = first == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = first == 0xED && byte(1) >= 0xA0;
    return overlong || surrogate ? 0 : 3;
  }
  if (first >= 0xF0 && first <= 0xF4 && tail(1) && tail(2) && tail(3)) {
    const bool overlong = first == 0xF0 && byte(1) < 0x90;
    const bool beyond = first == 0xF4 && byte(1) >= 0x90;
    return overlong || beyond ? 0 : 4;
  }
  return 0;
}

// A character as a message shows it. Controls (U+0000 to 1F, 7F to 9F), which end lines and steer terminals, are
// escaped as Python does, in `room`.
inline std::string_view shown(std::string_view character, std::array<char, 4>& room) {
  const auto last = static_cast<unsigned char>(character.back());
  const bool control = character.size() == 1 ? last < 0x20 || last == 0x7F
                                             : character.size() == 2 && character[0] == '\xC2' && last < 0xA0;
  if (!control) return character;
  constexpr std::string_view kShort = "\t\n\r";
  constexpr std::string_view kLetter = "tnr";
  constexpr std::string_view kHex = "0123456789abcdef";
  if (const std::size_t at = kShort.find(character); at != std::string_view::npos) {
    room = {'\\', kLetter[at]};
    return {room.data(), 2};
  }
  room = {'\\', 'x', kHex[last >> 4U], kHex[last & 15U]};
  return {room.data(), room.size()};
}

}  // namespace v2v_core
