// The safetensors format, strict: every size is checked before memory is taken for it (v2v_runtime/blobs.py).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "manifest/model.hpp"

namespace v2v_core {

inline constexpr std::int64_t kMaxTensorsHeader = std::int64_t{16} << 20;

struct TensorEntry {
  std::string dtype;  // the format's name: F32, U8 ...
  Shape shape;
  std::int64_t begin = 0;  // in the file
  std::int64_t end = 0;
};

// The entries of a file of `size` bytes that begins with `start`. Throws Error: V2V-E1030 to E1032.
Map<TensorEntry> parse_tensors(std::string_view start, std::int64_t size, const std::string& name);

// That every bool tensor of a whole file holds 0 and 1 alone. Throws Error: V2V-E1033.
void check_values(std::string_view file, const Map<TensorEntry>& entries, const std::string& name);

// The format's name of a type that blobs of manifests have ("float" is stored as float32).
std::string_view stored_dtype(DType dtype);

}  // namespace v2v_core
