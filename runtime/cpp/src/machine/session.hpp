// A session: one bundle's engines and constants on one device, shared by every stream that plays it there.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "bundle/bundle.hpp"
#include "machine/backend.hpp"

namespace v2v_core {

// What a caller asks to play; see `open_session`.
struct Choice {
  std::optional<std::string> target;
  std::optional<std::string> variant;
  json::Value options = json::Object();  // replace those of the target, entry by entry
};

// The target's options with those of the caller in their place. What the caller trusts takes in the engines that the
// target lists, where the hash of its `target.json` is among it. Throws Error: V2V-E4009: the target's own options say
// what is to be trusted; see `Bundle::listed_engines`.
json::Value session_options(const Bundle& bundle, const Target& target, const json::Value& given);

// graph -> what reads its engine's bytes, hashed as they are read.
using EngineReaders = Map<std::function<std::string()>>;

// Thread-safe.
class Session {
 public:
  // A graph without an engine is loaded from its ONNX file.
  Session(std::shared_ptr<const Bundle> bundle, std::string variant, std::shared_ptr<Backend> backend,
          EngineReaders engines = {});

  const Bundle& bundle() const { return *bundle_; }
  const Manifest& manifest() const { return bundle_->manifest(); }
  const Program& program() const { return manifest().program; }
  DType float_type() const { return variant_.float_type; }
  Memory& memory() const { return backend_->memory(); }

  // A const's tensor, or the view of one where graphs can read it (a copy of it where they cannot).
  TensorPtr constant(const std::string& name, const std::optional<View>& part);
  bool is_constant(const std::string& name) const { return consts_.contains(name); }

  // A blob that is what the manifest declares. Throws Error V2V-E4014: it is of another type or shape.
  Blob blob(DType dtype, const Shape& shape, const BlobRef& ref) const;
  // A blob in the concrete type, on the host.
  std::vector<std::byte> host_value(DType dtype, const Shape& shape, const BlobRef& ref) const;

  const std::vector<std::string>& in_place(const std::string& phase, const Call& call) const;
  // Of a call with these rows.
  const std::vector<std::int64_t>& buckets(const std::string& phase, const std::string& call, const Rows& rows) const;

  // A loaded engine; the caller holds its graph (V2V-E4007: nobody does).
  Engine& engine(const std::string& graph);
  // Loads what nobody holds yet and holds all of them, or none. Other streams go on meanwhile; one that wants a graph
  // that is being loaded, or freed, waits for that.
  void hold(const std::vector<std::string>& graphs);
  void release(std::span<const std::string> graphs);

 private:
  EngineSpec spec(const std::string& graph) const;

  struct Held {
    std::unique_ptr<Engine> engine;
    int holders = 0;
    bool busy = false;  // nobody holds it, and a thread loads or frees it outside of the lock
  };
  void hold_one(const std::string& graph);
  void settle(Held& held, std::unique_ptr<Engine> engine, int holders);

  std::shared_ptr<const Bundle> bundle_;
  std::string variant_name_;
  const Variant& variant_;
  std::shared_ptr<Backend> backend_;
  EngineReaders engines_;
  Map<TensorPtr> consts_;
  std::mutex lock_;
  std::condition_variable settled_;
  Map<Held> held_;        // under lock_; entries stay where they are
  Map<TensorPtr> parts_;  // under lock_
};

// What reads the engines of a target; empty: it has none.
EngineReaders engine_readers(const std::shared_ptr<const Bundle>& bundle, const Target& target);

// The shared session that plays `bundle` as chosen. Throws Error: V2V-E1020 and what the target's files give, E4xxx.
std::shared_ptr<Session> open_session(const std::shared_ptr<Bundle>& bundle, const Choice& choice);

bool reachable(const Memory& memory, const Tensor& tensor);

}  // namespace v2v_core
