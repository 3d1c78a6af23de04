// What texts and numbers of a manifest must satisfy: v2v_runtime/manifest/constraints.py.
#pragma once

#include "manifest/codec.hpp"

namespace v2v_core::codec {

bool is_name(std::string_view text);
bool is_reference(std::string_view text);
bool is_call_path(std::string_view text);
bool is_tensor_key(std::string_view text);
bool is_sha256(std::string_view text);
bool is_title(std::string_view text);
bool is_path(std::string_view text);
bool is_graph_path(std::string_view text);
bool is_blob_path(std::string_view text);

inline constexpr std::int64_t kInt31 = (std::int64_t{1} << 31) - 1;
inline constexpr std::string_view kPathWords =
    "a relative path of plain ASCII parts joined by '/', none hidden, none '..', at most 200 characters";

inline constexpr Text kName{2020, is_name, 64, "1 to 64 letters, digits, '_' or '-', not beginning with '-'"};
inline constexpr Text kReference{2020, is_reference, 70, "a name, or '<ring>.count'"};
inline constexpr Text kCallPath{2020, is_call_path, 129, "'<phase>/<call>'"};
inline constexpr Text kTensorKey{2020, is_tensor_key, 256, "1 to 256 ASCII characters, no space or control"};
inline constexpr Text kSha256{2025, is_sha256, 64, "64 lower-case hexadecimal digits"};
inline constexpr Text kTitle{2026, is_title, 128, "1 to 128 characters, no control character"};
inline constexpr Text kPath{2021, is_path, 200, kPathWords};
inline constexpr Text kGraphPath{2021, is_graph_path, 200, "such a path under graphs/ that ends in .onnx"};
inline constexpr Text kBlobPath{2021, is_blob_path, 200, "such a path under blobs/ that ends in .safetensors"};

inline constexpr Integer kDimension{2022, 1, std::int64_t{1} << 40};
inline constexpr List<Integer> kShape{kDimension, {2022, 1, 8}};
inline constexpr Integer kPositive{2024, 1, kInt31};
inline constexpr Integer kIndex{2024, 0, kInt31};
inline constexpr Integer kWhole{2024, -(std::int64_t{1} << 53), std::int64_t{1} << 53};
inline constexpr Integer kPixels{2024, 1, 32768};
inline constexpr Integer kLevel{2024, 0, 255};
inline constexpr Integer kBytes{2024, 0, std::int64_t{1} << 50};
inline constexpr Items kSome{2027, 1, 4096};
inline constexpr Items kFew{2027, 1, 256};
inline constexpr Items kSomeFiles{2027, 1, 8192};

}  // namespace v2v_core::codec
