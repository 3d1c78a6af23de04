#include "machine/params.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "error.hpp"
#include "json/value.hpp"

namespace v2v_core {
namespace {

enum class Sort : std::uint8_t { boolean, whole, real };

std::string_view type_name(HostType type) {
  constexpr std::array<std::string_view, static_cast<std::size_t>(HostType::count)> kNames{
      "bool",  "uint8",  "int8",  "uint16",  "int16",   "uint32",
      "int32", "uint64", "int64", "float16", "float32", "float64"};
  return kNames[static_cast<std::size_t>(type)];
}

Sort sort_of(HostType type) {
  if (type == HostType::boolean) return Sort::boolean;
  return type >= HostType::f16 ? Sort::real : Sort::whole;
}

template <class T>
T load(const void* data, std::size_t i) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + i * sizeof value, sizeof value);
  return value;
}

double from_half(std::uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int fraction = half & 1023;
  const double size = exponent == 31  ? (fraction == 0 ? HUGE_VAL : std::nan(""))
                      : exponent == 0 ? std::ldexp(fraction, -24)
                                      : std::ldexp(fraction + 1024, exponent - 25);
  return (half & 0x8000) != 0 ? -size : size;
}

// One element, exactly: integers apart, because doubles do not hold all of 64 bits.
struct Number {
  bool negative = false;
  std::uint64_t size = 0;  // of an integer
  double real = 0;

  // Of integers.
  bool operator<(const Number& other) const {
    if (negative != other.negative) return negative;
    return negative ? size > other.size : size < other.size;
  }
};

// As Python writes them.
std::string text(double value) { return std::isnan(value) ? "nan" : json::dump(json::Value(value)); }
std::string text(const Number& number) { return cat(number.negative ? "-" : "", number.size); }

template <class T>
Number whole(T value) {
  if constexpr (std::is_signed_v<T>) {
    using Bits = std::make_unsigned_t<T>;
    const auto bits = static_cast<Bits>(value);
    return {value < 0, value < 0 ? static_cast<Bits>(Bits{0} - bits) : bits, 0};
  } else {
    return {false, value, 0};
  }
}

Number element(HostType type, const void* data, std::size_t i) {
  switch (type) {
    case HostType::u8:
      return whole(load<std::uint8_t>(data, i));
    case HostType::i8:
      return whole(load<std::int8_t>(data, i));
    case HostType::u16:
      return whole(load<std::uint16_t>(data, i));
    case HostType::i16:
      return whole(load<std::int16_t>(data, i));
    case HostType::u32:
      return whole(load<std::uint32_t>(data, i));
    case HostType::i32:
      return whole(load<std::int32_t>(data, i));
    case HostType::u64:
      return whole(load<std::uint64_t>(data, i));
    case HostType::i64:
      return whole(load<std::int64_t>(data, i));
    case HostType::f16:
      return {false, 0, from_half(load<std::uint16_t>(data, i))};
    case HostType::f32:
      return {false, 0, static_cast<double>(load<float>(data, i))};
    case HostType::f64:
      return {false, 0, load<double>(data, i)};
    default:
      return whole(load<std::uint8_t>(data, i));
  }
}

// What a number is as a float type, which need not be finite.
double put_float(DType to, bool is_whole, const Number& number, std::byte* out) {
  if (to == DType::float32) {
    // Integers round once, straight to the float.
    const float size = is_whole ? static_cast<float>(number.size) : static_cast<float>(number.real);
    const float value = number.negative ? -size : size;
    std::memcpy(out, &value, sizeof value);
    return static_cast<double>(value);
  }
  const double size = is_whole ? static_cast<double>(number.size) : number.real;
  const std::uint16_t value = to_half(number.negative ? -size : size);
  std::memcpy(out, &value, sizeof value);
  return from_half(value);
}

// Where the element `at` of a packed array stands.
std::string position(const Shape& shape, std::size_t at) {
  Shape where(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    const auto size = static_cast<std::size_t>(shape[axis]);
    where[axis] = static_cast<std::int64_t>(at % size);
    at /= size;
  }
  return shape_text(where);
}

void put_floats(const GivenParam& given, DType to, std::vector<std::byte>& value, const Shape& shape) {
  const auto item = static_cast<std::size_t>(item_bytes(to));
  const bool is_whole = sort_of(given.type) == Sort::whole;
  for (std::size_t i = 0; i * item < value.size(); ++i) {
    const Number number = element(given.type, given.data, i);
    const double as = put_float(to, is_whole, number, value.data() + i * item);
    if (std::isfinite(as)) continue;
    throw Error{3013,
                cat("param ", quote(given.name), " holds ", is_whole ? text(number) : text(number.real), " at ",
                    position(shape, i), ", which is ", text(as), " as ", dtype_name(to)),
                "finite values"};
  }
}

void put_integers(const GivenParam& given, DType to, std::vector<std::byte>& value) {
  const std::uint64_t most = to == DType::uint8   ? 255
                             : to == DType::int32 ? std::numeric_limits<std::int32_t>::max()
                                                  : std::numeric_limits<std::int64_t>::max();
  const Number highest{false, most, 0};
  const Number lowest = to == DType::uint8 ? Number{} : Number{true, most + 1, 0};
  const auto item = static_cast<std::size_t>(item_bytes(to));
  Number low = highest;
  Number high = lowest;
  for (std::size_t i = 0; i * item < value.size(); ++i) {
    const Number number = element(given.type, given.data, i);
    if (number < low || i == 0) low = number;
    if (high < number || i == 0) high = number;
    const std::uint64_t bits = number.negative ? std::uint64_t{0} - number.size : number.size;
    std::memcpy(value.data() + i * item, &bits, item);  // little-endian
  }
  if (low < lowest || highest < high) {
    throw Error{3012, cat("param ", quote(given.name), " holds values from ", text(low), " to ", text(high)),
                cat(text(lowest), " to ", text(highest), " (", dtype_name(to), ")"), "give values within them"};
  }
}

std::vector<std::byte> checked(const Param& param, const GivenParam& given, DType float_type) {
  // A plain number stands for shape [1].
  const bool plain = given.shape.empty() && param.spec.shape == Shape{1};
  if (!plain && given.shape != param.spec.shape) {
    throw Error{3011, cat("param ", quote(given.name), " was given shape ", shape_text(given.shape)),
                shape_text(param.spec.shape), "give a number or an array of that shape"};
  }
  const DType to = concrete(param.spec.dtype, float_type);
  const Sort sort = sort_of(given.type);
  const bool fits = to == DType::boolean ? sort == Sort::boolean
                    : is_float(to)       ? sort != Sort::boolean
                                         : sort == Sort::whole;
  if (!fits) {
    throw Error{3012, cat("param ", quote(given.name), " was given type ", type_name(given.type)),
                std::string(dtype_name(to)), "convert it first"};
  }
  std::vector<std::byte> value(static_cast<std::size_t>(elements(given.shape) * item_bytes(to)));
  if (is_float(to)) {
    put_floats(given, to, value, param.spec.shape);
  } else if (to == DType::boolean) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      value[i] = element(given.type, given.data, i).size != 0 ? std::byte{1} : std::byte{0};
    }
  } else {
    put_integers(given, to, value);
  }
  check_limits(std::string(given.name), param, float_type, value);
  return value;
}

std::string text(std::int64_t value) { return std::to_string(value); }

// The lowest and the highest of some elements are within the limits; NaN, which only a default can be, is not.
template <class T>
void check_within(const std::string& name, const Limits& limits, const std::vector<T>& values) {
  if (values.empty()) return;
  T low = values.front();
  T high = low;
  for (const T value : values) {
    low = std::min(low, value);
    high = std::max(high, value);
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(value)) {
        low = high = value;
        break;
      }
    }
  }
  if (low >= static_cast<T>(limits.low) && high <= static_cast<T>(limits.high)) return;
  throw Error{3012, cat("param ", quote(name), " holds values from ", text(low), " to ", text(high)),
              cat(limits.low, " to ", limits.high, ", the limits that the program declares"),
              "give values within them"};
}

}  // namespace

void check_limits(const std::string& name, const Param& param, DType float_type, const std::vector<std::byte>& value) {
  if (!param.limits) return;
  const DType dtype = concrete(param.spec.dtype, float_type);
  const std::size_t count = value.size() / static_cast<std::size_t>(item_bytes(dtype));
  if (is_float(dtype)) {
    std::vector<double> values(count);
    for (std::size_t i = 0; i < count; ++i) {
      values[i] = dtype == DType::float32 ? static_cast<double>(load<float>(value.data(), i))
                                          : from_half(load<std::uint16_t>(value.data(), i));
    }
    check_within(name, *param.limits, values);
    return;
  }
  std::vector<std::int64_t> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = dtype == DType::uint8   ? load<std::uint8_t>(value.data(), i)
                : dtype == DType::int32 ? load<std::int32_t>(value.data(), i)
                                        : load<std::int64_t>(value.data(), i);
  }
  check_within(name, *param.limits, values);
}

Map<std::vector<std::byte>> checked_params(const Session& session, std::span<const GivenParam> given) {
  const Map<Param>& declared = session.program().params;
  Map<std::vector<std::byte>> values;
  for (const GivenParam& each : given) {
    const auto param = declared.find(each.name);
    if (param == declared.end()) {
      std::string listed;
      for (const auto& [name, value] : declared) listed += (listed.empty() ? "" : ", ") + name;
      throw Error{3010, "this program has no param " + quote(each.name),
                  "one of " + (listed.empty() ? "none: it takes no params" : listed),
                  "give params by the names that the program declares"};
    }
    values.insert_or_assign(std::string(each.name), checked(param->second, each, session.float_type()));
  }
  return values;
}

}  // namespace v2v_core
