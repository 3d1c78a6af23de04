#include "machine/params.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "error.hpp"

namespace v2v_core {
namespace {

enum class Sort : std::uint8_t { boolean, whole, real };

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
  double size = exponent == 31  ? (fraction == 0 ? HUGE_VAL : std::nan(""))
                : exponent == 0 ? std::ldexp(fraction, -24)
                                : std::ldexp(fraction + 1024, exponent - 25);
  return (half & 0x8000) != 0 ? -size : size;
}

// One element, exactly: integers apart, because doubles do not hold all of 64 bits.
struct Number {
  bool negative = false;
  std::uint64_t size = 0;  // of an integer
  double real = 0;
};

template <class T>
Number whole(T value) {
  if constexpr (std::is_signed_v<T>) {
    const auto wide = static_cast<std::int64_t>(value);
    const std::uint64_t size =
        wide < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(wide) : static_cast<std::uint64_t>(wide);
    return {wide < 0, size, 0};
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

void put_float(DType to, HostType from, const Number& number, std::byte* out, const std::string& name) {
  const bool is_whole = sort_of(from) == Sort::whole;
  bool finite = false;
  if (to == DType::float32) {
    // Integers round once, straight to the float.
    const float size = is_whole ? static_cast<float>(number.size) : static_cast<float>(number.real);
    const float value = number.negative ? -size : size;
    finite = std::isfinite(value);
    std::memcpy(out, &value, sizeof value);
  } else {
    const double size = is_whole ? static_cast<double>(number.size) : number.real;
    const std::uint16_t value = to_half(number.negative ? -size : size);
    finite = (value & 0x7C00) != 0x7C00;
    std::memcpy(out, &value, sizeof value);
  }
  if (!finite) {
    throw Error{3013, cat("param ", quote(name), " holds what is no finite ", dtype_name(to)), "finite values"};
  }
}

void put_whole(DType to, const Number& number, std::byte* out, const std::string& name) {
  const std::uint64_t most = to == DType::uint8   ? 255
                             : to == DType::int32 ? std::numeric_limits<std::int32_t>::max()
                                                  : std::numeric_limits<std::int64_t>::max();
  const std::uint64_t least = to == DType::uint8 ? 0 : most + 1;  // its size
  if (number.size > (number.negative ? least : most)) {
    throw Error{3012, cat("param ", quote(name), " holds values out of range"), std::string(dtype_name(to))};
  }
  const std::uint64_t bits = number.negative ? std::uint64_t{0} - number.size : number.size;
  std::memcpy(out, &bits, static_cast<std::size_t>(item_bytes(to)));  // little-endian
}

std::vector<std::byte> checked(const Param& param, const GivenParam& given, DType float_type) {
  const std::string name(given.name);
  // A plain number stands for shape [1].
  const bool plain = given.shape.empty() && param.spec.shape == Shape{1};
  if (!plain && given.shape != param.spec.shape) {
    throw Error{3011, cat("param ", quote(name), " was given shape ", shape_text(given.shape)),
                shape_text(param.spec.shape), "give an array of that shape"};
  }
  const DType to = concrete(param.spec.dtype, float_type);
  const Sort sort = sort_of(given.type);
  const bool fits = to == DType::boolean ? sort == Sort::boolean
                    : is_float(to)       ? sort != Sort::boolean
                                         : sort == Sort::whole;
  if (!fits) {
    throw Error{3012, cat("param ", quote(name), " was given another type"), std::string(dtype_name(to)),
                "convert it first"};
  }
  const auto count = static_cast<std::size_t>(elements(given.shape));
  const auto item = static_cast<std::size_t>(item_bytes(to));
  std::vector<std::byte> value(count * item);
  for (std::size_t i = 0; i < count; ++i) {
    const Number number = element(given.type, given.data, i);
    std::byte* out = value.data() + i * item;
    if (is_float(to)) {
      put_float(to, given.type, number, out, name);
    } else if (to == DType::boolean) {
      *out = number.size != 0 ? std::byte{1} : std::byte{0};
    } else {
      put_whole(to, number, out, name);
    }
  }
  check_limits(name, param, float_type, value);
  return value;
}

// The lowest and the highest of some elements are within the limits; NaN, which only a default can be, is not.
template <class T>
void check_within(const std::string& name, const Limits& limits, const std::vector<T>& values) {
  for (const T value : values) {
    const T low = static_cast<T>(limits.low);
    const T high = static_cast<T>(limits.high);
    if (value >= low && value <= high) continue;
    throw Error{3012, cat("param ", quote(name), " holds values outside of its limits"),
                cat(limits.low, " to ", limits.high, ", the limits that the program declares"),
                "give values within them"};
  }
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
