// Element types of tensors in memory, and float16.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

#include "manifest/model.hpp"

namespace v2v_core {

inline std::int64_t item_bytes(DType dtype) {
  constexpr std::array<std::int64_t, 7> kBytes{1, 1, 4, 8, 2, 4, 4};
  return kBytes[static_cast<std::size_t>(dtype)];
}

inline bool is_float(DType dtype) { return dtype == DType::float16 || dtype == DType::float32; }

// What a type is in a variant that calls "float" `float_type`.
inline DType concrete(DType dtype, DType float_type) { return dtype == DType::variant_float ? float_type : dtype; }

inline std::int64_t elements(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

// Rounds to the nearest float16, ties to even; every float and integer of at most 53 bits comes in exactly.
inline std::uint16_t to_half(double value) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000 : 0);
  const double size = std::abs(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7E00);
  if (size >= 65520) return static_cast<std::uint16_t>(sign | 0x7C00);  // halfway to 2^16 rounds to infinity
  // Scaled so that one unit is the last place of the half; nearbyint then rounds as it should.
  const int exponent = size < 0x1p-14 ? -14 : std::ilogb(size);
  const auto units = static_cast<std::uint16_t>(std::nearbyint(std::ldexp(size, 10 - exponent)));
  // A carry out of the fraction moves into the exponent by itself.
  const auto biased = size < 0x1p-14 ? 0 : (exponent + 14) << 10;
  return static_cast<std::uint16_t>(sign + biased + units);
}

}  // namespace v2v_core
