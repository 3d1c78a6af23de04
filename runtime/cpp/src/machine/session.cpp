#include "machine/session.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include "error.hpp"

namespace v2v_core {

bool reachable(const Memory& memory, const Tensor& tensor) {
  return reinterpret_cast<std::uintptr_t>(tensor.address) % memory.alignment == 0;
}

Session::Session(std::shared_ptr<const Bundle> bundle, std::string variant, std::shared_ptr<Backend> backend,
                 EngineReaders engines)
    : bundle_(std::move(bundle)),
      variant_name_(std::move(variant)),
      variant_(bundle_->manifest().variants.find(variant_name_)->second),
      backend_(std::move(backend)),
      engines_(std::move(engines)) {
  for (const auto& [name, c] : program().consts) {
    TensorPtr tensor = memory().allocate(concrete(c.spec.dtype, float_type()), c.spec.shape);
    memory().write(*tensor, host_value(c.spec.dtype, c.spec.shape, c.blob).data());
    consts_.emplace(name, std::move(tensor));
  }
  std::set<std::string> resident;
  for (const Phase& phase : program().phases) {
    for (const Call& call : phase.calls) {
      if (!manifest().graphs.find(call.graph)->second.resident_phase) resident.insert(call.graph);
    }
  }
  hold({resident.begin(), resident.end()});
}

Blob Session::blob(DType dtype, const Shape& shape, const BlobRef& ref) const {
  Blob blob = bundle_->blob(ref);
  // The manifest agreed with the file when the bundle was opened; the file may have been replaced since.
  if (blob.entry.dtype != stored_dtype(dtype) || blob.entry.shape != shape) {
    throw Error{
        4014, cat("blob ", ref.file, ":", ref.tensor, " is ", blob.entry.dtype, " ", shape_text(blob.entry.shape)),
        cat(stored_dtype(dtype), " ", shape_text(shape), ", as the manifest declares"), "build the bundle again"};
  }
  return blob;
}

std::vector<std::byte> Session::host_value(DType dtype, const Shape& shape, const BlobRef& ref) const {
  const Blob stored = blob(dtype, shape, ref);
  const std::string_view bytes = stored.bytes();
  const std::int64_t count = elements(shape);
  const DType wanted = concrete(dtype, float_type());
  std::vector<std::byte> value(static_cast<std::size_t>(count * item_bytes(wanted)));
  if (dtype != DType::variant_float || wanted == DType::float32) {
    std::memcpy(value.data(), bytes.data(), value.size());
    return value;
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    float single = 0;
    std::memcpy(&single, bytes.data() + i * sizeof single, sizeof single);
    const std::uint16_t half = to_half(single);
    std::memcpy(value.data() + i * sizeof half, &half, sizeof half);
  }
  return value;
}

TensorPtr Session::constant(const std::string& name, const std::optional<View>& part) {
  const TensorPtr& whole = consts_.find(name)->second;
  if (!part) return whole;
  TensorPtr found = view(whole, part->start, part->length);
  if (reachable(memory(), *found)) return found;
  const std::lock_guard guard(lock_);
  TensorPtr& copied = parts_[cat(name, "/", part->start, "/", part->length)];
  if (!copied) {
    TensorPtr made = memory().allocate(found->dtype, found->shape);
    memory().copy(*made, *found);
    copied = std::move(made);
  }
  return copied;
}

const std::vector<std::string>& Session::in_place(const std::string& phase, const Call& call) const {
  const auto override = variant_.calls.find(cat(phase, "/", call.name));
  return override == variant_.calls.end() || !override->second.in_place ? call.in_place : *override->second.in_place;
}

const std::vector<std::int64_t>& Session::buckets(const std::string& phase, const std::string& call,
                                                  const Rows& rows) const {
  const auto override = variant_.calls.find(cat(phase, "/", call));
  return override == variant_.calls.end() || !override->second.buckets ? rows.buckets : *override->second.buckets;
}

Engine& Session::engine(const std::string& graph) {
  const std::lock_guard guard(lock_);
  const auto found = held_.find(graph);
  if (found == held_.end() || !found->second.engine) throw Error{4007, cat("graph ", quote(graph), " is not loaded")};
  return *found->second.engine;
}

void Session::hold(const std::vector<std::string>& graphs) {
  std::size_t taken = 0;
  try {
    for (const std::string& graph : graphs) {
      hold_one(graph);
      taken += 1;
    }
  } catch (...) {
    release(std::span(graphs).first(taken));
    throw;
  }
}

void Session::hold_one(const std::string& graph) {
  std::unique_lock guard(lock_);
  Held& held = held_[graph];
  settled_.wait(guard, [&] { return !held.busy; });
  if (held.holders == 0) {
    held.busy = true;
    guard.unlock();
    std::unique_ptr<Engine> engine;
    try {
      engine = backend_->load(spec(graph));
    } catch (...) {
      settle(held, nullptr, 0);
      throw;
    }
    settle(held, std::move(engine), 1);
  } else {
    held.holders += 1;
  }
}

void Session::settle(Held& held, std::unique_ptr<Engine> engine, int holders) {
  const std::lock_guard guard(lock_);
  held.engine = std::move(engine);
  held.holders = holders;
  held.busy = false;
  settled_.notify_all();
}

void Session::release(std::span<const std::string> graphs) {
  for (const std::string& graph : graphs) {
    std::unique_lock guard(lock_);
    Held& held = held_.find(graph)->second;
    held.holders -= 1;
    if (held.holders != 0) continue;
    held.busy = true;
    std::unique_ptr<Engine> engine = std::move(held.engine);
    guard.unlock();
    engine.reset();
    settle(held, nullptr, 0);
  }
}

EngineSpec Session::spec(const std::string& graph) const {
  const Graph& declared = manifest().graphs.find(graph)->second;
  std::set<std::string> row_ports;
  std::set<std::int64_t> row_counts;
  for (const Phase& phase : program().phases) {
    for (const Call& call : phase.calls) {
      if (call.graph != graph || !call.rows) continue;
      row_ports.insert(call.rows->ports.begin(), call.rows->ports.end());
      const auto& counts = buckets(phase.name, call.name, *call.rows);
      row_counts.insert(counts.begin(), counts.end());
    }
  }
  const auto ports = [&](const Map<TensorSpec>& specs) {
    std::vector<Port> made;
    for (const auto& [name, spec] : specs) {
      made.push_back({name, concrete(spec.dtype, float_type()), spec.shape, row_ports.contains(name)});
    }
    return made;
  };
  const auto engine = engines_.find(graph);
  return {graph,
          bundle_->graph_path(variant_name_, graph),
          engine == engines_.end() ? std::function<std::string()>() : engine->second,
          ports(declared.inputs),
          ports(declared.outputs),
          {row_counts.begin(), row_counts.end()}};
}

namespace {

// The target to play; none: the ONNX files on the CPU, in float32 where the bundle has such a variant.
Target choose_target(const Bundle& bundle, std::optional<std::string> name) {
  if (!name) {
    const std::vector<std::string> present = bundle.targets();
    if (present.empty()) {
      const Manifest& manifest = bundle.manifest();
      const std::vector<std::string>& names = manifest.variant_order;
      const auto single = std::find_if(names.begin(), names.end(), [&](const std::string& each) {
        return manifest.variants.find(each)->second.float_type == DType::float32;
      });
      Target target;
      target.bundle = manifest.identity;
      target.profile = "cpu";
      target.backend = "onnxruntime";
      target.variant = single == names.end() ? names.front() : *single;
      return target;
    }
    if (present.size() > 1 && std::find(present.begin(), present.end(), "cpu.onnxruntime") != present.end()) {
      name = "cpu.onnxruntime";
    }
  }
  return bundle.target(name);
}

json::Value merged(const json::Value& base, const json::Value& changes) {
  json::Object result = *base.object();
  for (const auto& change : *changes.object()) {
    const auto found =
        std::find_if(result.begin(), result.end(), [&](const auto& entry) { return entry.first == change.first; });
    if (found == result.end()) {
      result.push_back(change);
    } else {
      found->second = change.second;
    }
  }
  return result;
}

}  // namespace

json::Value session_options(const Bundle& bundle, const Target& target, const json::Value& given) {
  if (target.options.find("trust") != nullptr) {
    throw Error{4009, cat("target ", target.label(), " says itself which engines are to be trusted"),
                "no option trust in a target: that is for whoever plays it to say",
                "build the bundle here, or ask whoever built it why it says so"};
  }
  json::Value options = merged(target.options, given);
  const json::Value* trust = given.find("trust");
  if (trust == nullptr || target.engines.empty()) return options;
  json::Array named;
  if (trust->string() != nullptr) named.push_back(*trust);
  if (trust->array() != nullptr) named = *trust->array();
  std::vector<std::string> hashes;  // what is none is left for the backend to refuse
  for (const json::Value& each : named) {
    if (each.string() != nullptr) hashes.push_back(*each.string());
  }
  if (hashes.empty()) return options;
  for (std::string& sha256 : bundle.listed_engines(target, hashes)) named.emplace_back(std::move(sha256));
  return merged(options, json::Object{{"trust", named}});
}

EngineReaders engine_readers(const std::shared_ptr<const Bundle>& bundle, const Target& target) {
  EngineReaders readers;
  for (const auto& [graph, path] : target.engines) {
    readers.emplace(graph, [bundle, target, file = path] { return bundle->target_file(target, file); });
  }
  return readers;
}

std::shared_ptr<Session> open_session(const std::shared_ptr<Bundle>& bundle, const Choice& choice) {
  const Target target = choose_target(*bundle, choice.target);
  const std::string variant = choice.variant.value_or(target.variant);
  if (!bundle->manifest().variants.contains(variant)) {
    std::string listed;
    for (const auto& [name, each] : bundle->manifest().variants) listed += (listed.empty() ? "" : ", ") + name;
    throw Error{4015, "the bundle has no variant " + quote(variant), "one of " + listed};
  }
  const json::Value options = session_options(*bundle, target, choice.options);
  const bool with_engines = variant == target.variant && !target.engines.empty();
  const std::string key = cat(target.backend, "\n", variant, "\n", with_engines ? "engines" : "", "\n", target.profile,
                              "\n", json::canonical(options));
  return bundle->shared<Session>(key, [&] {
    return std::make_shared<Session>(bundle, variant, open_backend(target.backend, options),
                                     with_engines ? engine_readers(bundle, target) : EngineReaders());
  });
}

}  // namespace v2v_core
