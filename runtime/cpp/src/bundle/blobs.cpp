#include "bundle/blobs.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "error.hpp"

namespace v2v_core {
namespace {

struct Stored {
  std::string_view name;
  std::int64_t bytes;
};
constexpr std::array<Stored, 12> kStored{{{"BOOL", 1},
                                          {"U8", 1},
                                          {"I8", 1},
                                          {"U16", 2},
                                          {"I16", 2},
                                          {"U32", 4},
                                          {"I32", 4},
                                          {"U64", 8},
                                          {"I64", 8},
                                          {"F16", 2},
                                          {"F32", 4},
                                          {"F64", 8}}};
constexpr std::size_t kMaxRank = 8;

[[noreturn]] void wrong(const std::string& name, const std::string& key, std::string_view seen,
                        std::string_view expected) {
  throw Error{1031, cat(name, ": tensor ", quote(key), ": ", seen), std::string(expected)};
}

bool integers(const json::Value& value, Shape& found) {
  const json::Array* entries = value.array();
  if (entries == nullptr) return false;
  for (const json::Value& entry : *entries) {
    const std::int64_t* number = entry.integer();
    if (number == nullptr || *number < 0) return false;
    found.push_back(*number);
  }
  return true;
}

// The product, or the largest integer where it is larger.
std::int64_t product(const Shape& shape, std::int64_t item) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  for (const std::int64_t size : shape) {
    if (item > kMost / size) return kMost;
    item *= size;
  }
  return item;
}

TensorEntry read_entry(const std::string& key, const json::Value& value, const std::string& name) {
  const json::Value* dtype = value.find("dtype");
  const json::Value* shape = value.find("shape");
  const json::Value* offsets = value.find("data_offsets");
  if (dtype == nullptr || shape == nullptr || offsets == nullptr || value.object()->size() != 3) {
    wrong(name, key, "a malformed entry", "exactly dtype, shape and data_offsets");
  }
  const auto stored = std::find_if(kStored.begin(), kStored.end(), [&](const Stored& each) {
    return dtype->string() != nullptr && *dtype->string() == each.name;
  });
  if (stored == kStored.end()) wrong(name, key, "an unknown dtype", "a type of the format that numpy has");
  TensorEntry entry{std::string(stored->name), {}, 0, 0};
  if (!integers(*shape, entry.shape) || entry.shape.size() > kMaxRank) {
    wrong(name, key, "a malformed shape", cat("at most ", kMaxRank, " integers of at least 0"));
  }
  Shape range;
  if (!integers(*offsets, range) || range.size() != 2 || range[0] > range[1]) {
    wrong(name, key, "malformed data_offsets", "[begin, end] with 0 <= begin <= end");
  }
  if (range[1] - range[0] != product(entry.shape, stored->bytes)) {
    throw Error{1032, cat(name, ": tensor ", quote(key), " has ", range[1] - range[0], " bytes"),
                cat("the bytes of shape ", shape_text(entry.shape))};
  }
  entry.begin = range[0];
  entry.end = range[1];
  return entry;
}

void check_cover(const Map<TensorEntry>& entries, std::int64_t size, const std::string& name) {
  std::vector<const Map<TensorEntry>::value_type*> order;
  for (const auto& entry : entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  std::int64_t reached = 0;
  for (const auto* entry : order) {
    const auto& [key, tensor] = *entry;
    if (tensor.begin != reached || tensor.end > size) {
      throw Error{1032,
                  cat(name, ": tensor ", quote(key), " has bytes ", tensor.begin, " to ", tensor.end, " of ", size),
                  cat("begin at ", reached, ", where the one before it ends")};
    }
    reached = tensor.end;
  }
  if (reached != size) throw Error{1032, cat(name, ": ", size - reached, " bytes belong to no tensor"), "none"};
}

}  // namespace

Map<TensorEntry> parse_tensors(std::string_view start, std::int64_t size, const std::string& name) {
  if (size < 8 || start.size() < 8) {
    throw Error{1030, cat(name, " has ", size, " bytes"), "a header length of 8 bytes"};
  }
  std::uint64_t length = 0;
  for (std::size_t i = 8; i-- > 0;) length = length << 8U | static_cast<unsigned char>(start[i]);
  const auto most = static_cast<std::uint64_t>(std::min(kMaxTensorsHeader, size - 8));
  if (length > most || 8 + length > start.size()) {
    throw Error{1030, cat(name, ": the header claims ", length, " bytes of a file of ", size), cat("at most ", most)};
  }
  const std::string_view text = start.substr(8, length);
  if (!text.starts_with('{')) throw Error{1030, name + ": the header does not begin with '{'"};
  json::Value header;
  try {
    header = json::parse(text);
  } catch (const Error& error) {
    throw Error{1030, cat(name, ": header: ", error.seen), error.expected};
  }
  const auto data = static_cast<std::int64_t>(8 + length);
  Map<TensorEntry> entries;
  for (const auto& [key, value] : *header.object()) {
    if (key == "__metadata__") {
      const json::Object* metadata = value.object();
      const auto is_text = [](const auto& entry) { return entry.second.string() != nullptr; };
      if (metadata == nullptr || !std::all_of(metadata->begin(), metadata->end(), is_text)) {
        throw Error{1030, name + ": __metadata__ is not a map of text to text"};
      }
      continue;
    }
    entries.emplace(key, read_entry(key, value, name));
  }
  check_cover(entries, size - data, name);
  for (auto& [key, entry] : entries) {
    entry.begin += data;
    entry.end += data;
  }
  return entries;
}

void check_values(std::string_view file, const Map<TensorEntry>& entries, const std::string& name) {
  for (const auto& [key, entry] : entries) {
    if (entry.dtype != "BOOL") continue;
    const auto bytes =
        file.substr(static_cast<std::size_t>(entry.begin), static_cast<std::size_t>(entry.end - entry.begin));
    if (std::any_of(bytes.begin(), bytes.end(), [](char byte) { return byte != 0 && byte != 1; })) {
      throw Error{1033, cat(name, ": bool tensor ", quote(key), " holds other bytes"), "0 and 1"};
    }
  }
}

std::string_view stored_dtype(DType dtype) {
  constexpr std::array<std::string_view, 7> kNames{"BOOL", "U8", "I32", "I64", "F16", "F32", "F32"};
  return kNames[static_cast<std::size_t>(dtype)];
}

}  // namespace v2v_core
