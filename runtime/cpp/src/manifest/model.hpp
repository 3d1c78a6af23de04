// What `bundle.json` and `target.json` say. The definition is v2v_runtime/manifest/model.py and program.py, whose
// docstrings hold the meaning of each field; the conformance corpus holds both readers to one reading.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "json/value.hpp"

namespace v2v_core {

template <class T>
using Map = std::map<std::string, T, std::less<>>;

enum class DType : std::uint8_t { boolean, uint8, int32, int64, float16, float32, variant_float };
using Shape = std::vector<std::int64_t>;

struct TensorSpec {
  DType dtype{};
  Shape shape;
  bool operator==(const TensorSpec&) const = default;
};

struct FrameSpec {
  std::int64_t height = 0;
  std::int64_t width = 0;
  bool operator==(const FrameSpec&) const = default;
};

struct BlobRef {
  std::string file;
  std::string tensor;
  bool operator==(const BlobRef&) const = default;
};

struct Graph {
  Map<TensorSpec> inputs;
  Map<TensorSpec> outputs;
  bool resident_phase = false;
  bool operator==(const Graph&) const = default;
};

struct Ring {
  std::int64_t length = 0;
  bool operator==(const Ring&) const = default;
};

struct Slot {
  TensorSpec spec;
  std::optional<BlobRef> init;  // none: zeros
  std::optional<Ring> ring;
  bool operator==(const Slot&) const = default;
};

struct Limits {
  std::int64_t low = 0;
  std::int64_t high = 0;
  bool operator==(const Limits&) const = default;
};

struct Param {
  TensorSpec spec;
  BlobRef value;  // the default
  std::optional<Limits> limits;
  bool operator==(const Param&) const = default;
};

struct Const {
  TensorSpec spec;
  BlobRef blob;
  bool operator==(const Const&) const = default;
};

struct View {
  std::int64_t start = 0;
  std::int64_t length = 0;
  bool operator==(const View&) const = default;
};

// A name, or a view of one.
struct Binding {
  std::string name;
  std::optional<View> view;
  bool operator==(const Binding&) const = default;
};

struct Every {
  std::int64_t every = 0;
  std::vector<std::int64_t> at;
  bool operator==(const Every&) const = default;
};

struct Changed {
  std::vector<std::string> changed;
  bool operator==(const Changed&) const = default;
};

using When = std::variant<std::monostate, Every, Changed>;

struct Rows {
  std::string count;
  std::vector<std::int64_t> buckets;
  std::vector<std::string> ports;
  bool skip_at_zero = false;
  bool operator==(const Rows&) const = default;
};

struct Call {
  std::string name;
  std::string graph;
  Map<Binding> inputs;
  Map<std::optional<Binding>> outputs;
  When when;
  std::optional<Rows> rows;
  bool late = false;
  std::vector<std::string> check;
  std::vector<std::string> in_place;
  bool operator==(const Call&) const = default;
};

struct Skip {
  std::string tensor;
  std::string frame;
  bool operator==(const Skip&) const = default;
};

struct Emit {
  std::string tensor;
  std::int64_t drop_first = 0;
  bool operator==(const Emit&) const = default;
};

struct Phase {
  std::string name;
  std::optional<std::int64_t> steps;  // none: forever
  std::vector<Call> calls;
  std::int64_t gather = 1;
  std::vector<std::string> resets;
  std::optional<Skip> skip;
  std::optional<Emit> emit;
  bool operator==(const Phase&) const = default;
};

struct Program {
  Map<FrameSpec> inputs;
  Map<FrameSpec> outputs;
  std::vector<Phase> phases;
  std::int64_t max_frames = 0;
  Map<Slot> slots;
  Map<Param> params;
  Map<Const> consts;
  bool operator==(const Program&) const = default;
};

struct FileEntry {
  std::string path;
  std::int64_t size = 0;
  std::string sha256;
  bool operator==(const FileEntry&) const = default;
};

struct CallOverride {
  std::optional<std::vector<std::string>> in_place;
  std::optional<std::vector<std::int64_t>> buckets;
  bool operator==(const CallOverride&) const = default;
};

struct Variant {
  DType float_type = DType::float32;
  Map<std::string> graphs;
  Map<CallOverride> calls;
  bool operator==(const Variant&) const = default;
};

struct SelfTest {
  BlobRef input;
  BlobRef output;
  Map<std::int64_t> tolerance;
  bool operator==(const SelfTest&) const = default;
};

struct Manifest {
  std::string name;
  std::string system;
  std::string identity;
  std::vector<FileEntry> files;
  Map<Graph> graphs;
  Map<Variant> variants;
  Program program;
  std::optional<SelfTest> selftest;
  json::Value provenance = json::Object();
  std::vector<std::string> variant_order;  // the variants' names as the file has them
};

struct Target {
  std::string bundle;
  std::string profile;
  std::string backend;
  std::string variant;
  bool verified = false;
  std::vector<FileEntry> files;
  Map<std::string> engines;
  json::Value options = json::Object();
  json::Value engine_key = json::Object();
  json::Value counters = json::Object();
  json::Value verification = json::Object();
  json::Value provenance = json::Object();

  std::string label() const { return profile + "." + backend; }
};

// Read, check and name: Error V2V-E2001 to E2080 for the first mistake.
Manifest parse_manifest(std::string_view text);
Target parse_target(std::string_view text);

// The types alone, without the meaning that `validate` checks.
Manifest read_manifest(const json::Value& document);
Target read_target(const json::Value& document);

// Back to JSON; what holds its default is left out.
json::Value to_json(const Manifest& manifest);
json::Value to_json(const Target& target);

// sha256 over the canonical form of what the bundle computes.
std::string identity(const Manifest& manifest);

// What types cannot say. Throws Error, V2V-E2021 and above.
void validate(const Manifest& manifest);
void validate_target(const Target& target);

// Every blob that a manifest names: its JSON path, type and shape; a size of -1 is any.
struct BlobUse {
  std::string path;
  BlobRef ref;
  DType dtype;
  Shape shape;
};
std::vector<BlobUse> blob_uses(const Manifest& manifest);

// "float32", "bool", ...
std::string_view dtype_name(DType dtype);
std::string shape_text(const Shape& shape);

}  // namespace v2v_core
