// Checks what a user sets as params: all of them fit, or none is taken (v2v_runtime/params.py).
#pragma once

#include <span>
#include <string_view>

#include "machine/session.hpp"

namespace v2v_core {

// The element types that a caller's array may have.
enum class HostType : std::uint8_t { boolean, u8, i8, u16, i16, u32, i32, u64, i64, f16, f32, f64, count };

// A packed array in the caller's memory.
struct GivenParam {
  std::string_view name;
  HostType type;
  Shape shape;
  const void* data;
};

// Throws Error V2V-E3012: a value of the param's concrete type holds what its limits do not.
void check_limits(const std::string& name, const Param& param, DType float_type, const std::vector<std::byte>& value);

// name -> its value's bytes in the param's concrete type. Throws Error: V2V-E3010 to E3013.
Map<std::vector<std::byte>> checked_params(const Session& session, std::span<const GivenParam> given);

}  // namespace v2v_core
