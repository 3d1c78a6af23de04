// The fields of every record, in the order of v2v_runtime/manifest/program.py and model.py.
#include "manifest/codec.hpp"
#include "manifest/rules.hpp"
#include "sha256.hpp"

namespace v2v_core {

using namespace codec;

namespace {

constexpr Choice<DType, 7> kDType{{{{"bool", DType::boolean},
                                    {"uint8", DType::uint8},
                                    {"int32", DType::int32},
                                    {"int64", DType::int64},
                                    {"float16", DType::float16},
                                    {"float32", DType::float32},
                                    {"float", DType::variant_float}}}};
constexpr Choice<DType, 2> kFloat{{{{"float16", DType::float16}, {"float32", DType::float32}}}};
constexpr Choice<bool, 2> kResident{{{{"always", false}, {"phase", true}}}};
constexpr Choice<bool, 2> kAtZero{{{{"run", false}, {"skip", true}}}};
constexpr Choice<bool, 2> kStatus{{{{"verified", true}, {"built", false}}}};
// Words with one choice, which say nothing: they are read, checked and not kept.
constexpr Choice<bool, 1> kFormat{{{{"rgb8", true}}}};
constexpr Choice<bool, 1> kLayout{{{{"HWC", true}}}};
constexpr Choice<bool, 1> kBundleSchema{{{{"v2v.bundle/1", true}}}};
constexpr Choice<bool, 1> kTargetSchema{{{{"v2v.target/1", true}}}};
constexpr List<Text> kNames{kName};

}  // namespace

namespace codec {

// Templates of other headers find these by their arguments, and would find none in an anonymous namespace.
// NOLINTBEGIN(misc-use-internal-linkage)

template <class V>
void one_word(V& v, std::string_view key, const Choice<bool, 1>& codec) {
  bool word = true;  // NOLINT(misc-const-correctness): a reader writes it
  v.may(key, codec, word, true);
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, TensorSpec>
void fields(V& v, S& s) {
  v.must("dtype", kDType, s.dtype);
  v.must("shape", kShape, s.shape);
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, FrameSpec>
void fields(V& v, S& s) {
  v.must("height", kPixels, s.height);
  v.must("width", kPixels, s.width);
  one_word(v, "format", kFormat);
  one_word(v, "layout", kLayout);
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, BlobRef>
void fields(V& v, S& s) {
  v.must("file", kBlobPath, s.file);
  v.must("tensor", kTensorKey, s.tensor);
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Graph>
void fields(V& v, S& s) {
  v.must("inputs", MapOf<Record<TensorSpec>>{kName, {}}, s.inputs);
  v.must("outputs", MapOf<Record<TensorSpec>>{kName, {}, kSome}, s.outputs);
  v.may("resident", kResident, s.resident_phase, false);
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Ring>
void fields(V& v, S& s) {
  v.must("length", kPositive, s.length);
}

// `"zeros"`, or where the value stands.
struct Init {
  using Type = std::optional<BlobRef>;
  static Type read(const json::Value& value, const Path& path) {
    if (value.object() != nullptr) return Record<BlobRef>::read(value, path);
    if (value.string() == nullptr) wrong_type(path, value, "a string or an object");
    if (*value.string() != "zeros") fail(2015, path, quote(*value.string()), "'zeros'");
    return std::nullopt;
  }
  static json::Value write(const Type& value) { return value ? Record<BlobRef>::write(*value) : json::Value("zeros"); }
};

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Slot>
void fields(V& v, S& s) {
  fields(v, s.spec);
  v.may("init", Init{}, s.init, std::optional<BlobRef>());
  v.may("ring", Nullable<Record<Ring>>{}, s.ring, std::optional<Ring>());
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Limits>
void fields(V& v, S& s) {
  v.must("low", kWhole, s.low);
  v.must("high", kWhole, s.high);
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Param>
void fields(V& v, S& s) {
  fields(v, s.spec);
  v.must("default", Record<BlobRef>{}, s.value);
  v.may("limits", Nullable<Record<Limits>>{}, s.limits, std::optional<Limits>());
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Const>
void fields(V& v, S& s) {
  fields(v, s.spec);
  v.must("blob", Record<BlobRef>{}, s.blob);
}

// A view with the name that it views.
struct NamedView : Binding {};

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, NamedView>
void fields(V& v, S& s) {
  View whole;  // NOLINT(misc-const-correctness): a reader writes it
  auto& view = s.view ? *s.view : whole;
  v.must("name", kReference, s.name);
  if constexpr (std::is_const_v<S>) {
    v.must("start", kIndex, view.start);
    v.must("length", kPositive, view.length);
  } else {
    v.must("start", kIndex, whole.start);
    v.must("length", kPositive, whole.length);
    s.view = whole;
  }
}

struct Bound {
  using Type = Binding;
  static Type read(const json::Value& value, const Path& path) {
    if (value.object() != nullptr) return Record<NamedView>::read(value, path);
    if (value.string() == nullptr) wrong_type(path, value, "a string or an object");
    return {kReference.read(value, path), std::nullopt};
  }
  static json::Value write(const Type& value) {
    return value.view ? Record<NamedView>::write(NamedView{value}) : json::Value(value.name);
  }
};

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Every>
void fields(V& v, S& s) {
  v.must("every", kPositive, s.every);
  v.must("at", List<Integer>{kIndex, kSome}, s.at);
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Changed>
void fields(V& v, S& s) {
  v.must("changed", List<Text>{kName, kSome}, s.changed);
}

// The two forms differ in their keys: the one that shares more of them is meant, the first if it is a draw.
struct WhenCodec {
  using Type = When;
  static Type read(const json::Value& value, const Path& path) {
    if (value.is_null()) return {};
    if (value.object() == nullptr) wrong_type(path, value, "null or an object");
    const int every = (value.find("every") != nullptr ? 1 : 0) + (value.find("at") != nullptr ? 1 : 0);
    if (value.find("changed") != nullptr && every == 0) return Record<Changed>::read(value, path);
    return Record<Every>::read(value, path);
  }
  static json::Value write(const Type& value) {
    if (const auto* every = std::get_if<Every>(&value)) return Record<Every>::write(*every);
    if (const auto* changed = std::get_if<Changed>(&value)) return Record<Changed>::write(*changed);
    return {};
  }
};

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Rows>
void fields(V& v, S& s) {
  v.must("count", kName, s.count);
  v.must("buckets", List<Integer>{kPositive, kSome}, s.buckets);
  v.must("ports", List<Text>{kName, kSome}, s.ports);
  v.may("at_zero", kAtZero, s.skip_at_zero, false);
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Call>
void fields(V& v, S& s) {
  v.must("name", kName, s.name);
  v.must("graph", kName, s.graph);
  v.must("inputs", MapOf<Bound>{kName, {}}, s.inputs);
  v.must("outputs", MapOf<Nullable<Bound>>{kName, {}}, s.outputs);
  v.may("when", WhenCodec{}, s.when, When());
  v.may("rows", Nullable<Record<Rows>>{}, s.rows, std::optional<Rows>());
  v.may("late", Boolean{}, s.late, false);
  v.may("check", kNames, s.check, std::vector<std::string>());
  v.may("in_place", kNames, s.in_place, std::vector<std::string>());
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Skip>
void fields(V& v, S& s) {
  v.must("tensor", kName, s.tensor);
  v.must("frame", kName, s.frame);
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Emit>
void fields(V& v, S& s) {
  v.must("tensor", kName, s.tensor);
  v.may("drop_first", kIndex, s.drop_first, std::int64_t{0});
}

struct Steps {
  using Type = std::optional<std::int64_t>;
  static Type read(const json::Value& value, const Path& path) {
    if (value.integer() != nullptr) return kPositive.read(value, path);
    if (value.string() == nullptr) wrong_type(path, value, "an integer or a string");
    if (*value.string() != "forever") fail(2015, path, quote(*value.string()), "'forever'");
    return std::nullopt;
  }
  static json::Value write(const Type& value) { return value ? json::Value(*value) : json::Value("forever"); }
};

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Phase>
void fields(V& v, S& s) {
  v.must("name", kName, s.name);
  v.must("steps", Steps{}, s.steps);
  v.must("calls", List<Record<Call>>{{}, kSome}, s.calls);
  v.may("gather", kPositive, s.gather, std::int64_t{1});
  v.may("resets", kNames, s.resets, std::vector<std::string>());
  v.may("skip", Nullable<Record<Skip>>{}, s.skip, std::optional<Skip>());
  v.may("emit", Nullable<Record<Emit>>{}, s.emit, std::optional<Emit>());
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Program>
void fields(V& v, S& s) {
  v.must("inputs", MapOf<Record<FrameSpec>>{kName, {}}, s.inputs);
  v.must("outputs", MapOf<Record<FrameSpec>>{kName, {}}, s.outputs);
  v.must("phases", List<Record<Phase>>{{}, kFew}, s.phases);
  v.must("max_frames", kPositive, s.max_frames);
  v.may("slots", MapOf<Record<Slot>>{kName, {}}, s.slots, Map<Slot>());
  v.may("params", MapOf<Record<Param>>{kName, {}}, s.params, Map<Param>());
  v.may("consts", MapOf<Record<Const>>{kName, {}}, s.consts, Map<Const>());
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, FileEntry>
void fields(V& v, S& s) {
  v.must("path", kPath, s.path);
  v.must("size", kBytes, s.size);
  v.must("sha256", kSha256, s.sha256);
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, CallOverride>
void fields(V& v, S& s) {
  v.may("in_place", Nullable<List<Text>>{kNames}, s.in_place, std::optional<std::vector<std::string>>());
  v.may("buckets", Nullable<List<Integer>>{{kPositive, kSome}}, s.buckets, std::optional<std::vector<std::int64_t>>());
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Variant>
void fields(V& v, S& s) {
  v.must("float", kFloat, s.float_type);
  v.must("graphs", MapOf<Text>{kName, kGraphPath}, s.graphs);
  v.may("calls", MapOf<Record<CallOverride>>{kCallPath, {}}, s.calls, Map<CallOverride>());
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, SelfTest>
void fields(V& v, S& s) {
  v.must("input", Record<BlobRef>{}, s.input);
  v.must("output", Record<BlobRef>{}, s.output);
  v.must("tolerance", MapOf<Integer>{kName, kLevel, kSome}, s.tolerance);
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Manifest>
void fields(V& v, S& s) {
  bool schema = true;  // NOLINT(misc-const-correctness): a reader writes it
  v.must("schema", kBundleSchema, schema);
  v.must("name", kTitle, s.name);
  v.must("system", kName, s.system);
  v.must("identity", kSha256, s.identity);
  v.must("files", List<Record<FileEntry>>{{}, kSomeFiles}, s.files);
  v.must("graphs", MapOf<Record<Graph>>{kName, {}, kSome}, s.graphs);
  v.must("variants", MapOf<Record<Variant>>{kName, {}, kFew}, s.variants);
  v.must("program", Record<Program>{}, s.program);
  v.may("selftest", Nullable<Record<SelfTest>>{}, s.selftest, std::optional<SelfTest>());
  v.may("provenance", Free{}, s.provenance, json::Value(json::Object()));
}

template <class V, class S>
  requires std::is_same_v<std::remove_const_t<S>, Target>
void fields(V& v, S& s) {
  bool schema = true;  // NOLINT(misc-const-correctness): a reader writes it
  const json::Value none{json::Object()};
  v.must("schema", kTargetSchema, schema);
  v.must("bundle", kSha256, s.bundle);
  v.must("profile", kName, s.profile);
  v.must("backend", kName, s.backend);
  v.must("variant", kName, s.variant);
  v.must("status", kStatus, s.verified);
  v.may("files", List<Record<FileEntry>>{}, s.files, std::vector<FileEntry>());
  v.may("engines", MapOf<Text>{kName, kPath}, s.engines, Map<std::string>());
  v.may("options", Free{}, s.options, none);
  v.may("engine_key", Free{}, s.engine_key, none);
  v.may("counters", Free{}, s.counters, none);
  v.may("verification", Free{}, s.verification, none);
  v.may("provenance", Free{}, s.provenance, none);
}

// NOLINTEND(misc-use-internal-linkage)

}  // namespace codec

Manifest read_manifest(const json::Value& document) {
  Manifest manifest = Record<Manifest>::read(document, {});
  for (const auto& [name, variant] : *document.find("variants")->object()) manifest.variant_order.push_back(name);
  return manifest;
}
Target read_target(const json::Value& document) { return Record<Target>::read(document, {}); }
json::Value to_json(const Manifest& manifest) { return Record<Manifest>::write(manifest); }
json::Value to_json(const Target& target) { return Record<Target>::write(target); }

std::string identity(const Manifest& manifest) {
  constexpr std::array<std::string_view, 6> kKeys{"schema", "graphs", "variants", "program", "selftest", "files"};
  json::Value whole = to_json(manifest);
  json::Object computed;
  for (auto& [key, value] : *whole.object()) {
    if (std::find(kKeys.begin(), kKeys.end(), key) != kKeys.end()) computed.emplace_back(key, std::move(value));
  }
  return sha256_hex(json::canonical(computed));
}

std::string_view dtype_name(DType dtype) { return kDType.words[static_cast<std::size_t>(dtype)].first; }

std::string shape_text(const Shape& shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) text += cat(text.size() > 1 ? ", " : "", size);
  return text + "]";
}

}  // namespace v2v_core
