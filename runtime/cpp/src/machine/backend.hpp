// What the machine needs of a backend: memory, engines, and runs that are bound beforehand. A new backend is one
// file in backends/ and one line in `open_backend`.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "json/value.hpp"
#include "machine/tensor.hpp"

namespace v2v_core {

// One input or output of a graph in the variant that is played; axis 0 is the largest bucket where `rows` is true.
struct Port {
  std::string name;
  DType dtype;
  Shape shape;
  bool rows = false;
};

// What a backend gets to load one graph.
struct EngineSpec {
  std::string graph;
  std::string onnx;                     // path of its ONNX file
  std::function<std::string()> engine;  // reads its engine's bytes, hashed as they are read; empty: it has none
  std::vector<Port> inputs;
  std::vector<Port> outputs;
  std::vector<std::int64_t> buckets;  // the row counts that ports with `rows` are run with
};

struct BoundPort {
  std::string name;
  TensorPtr tensor;
};

// One graph bound to fixed tensors, which it keeps alive. Calling it queues or does the work. Neither that nor binding
// it anew allocates anything of ours. Throws Error V2V-E4007.
class Run {
 public:
  virtual ~Run() = default;
  virtual void operator()() = 0;
  // Binds other tensors, of the same ports in the same order. Where that fails it must not be called any more.
  virtual void rebind(const std::vector<BoundPort>& inputs, const std::vector<BoundPort>& outputs) = 0;
};

// One loaded graph, shared by every stream of a session. Thread-safe.
class Engine {
 public:
  virtual ~Engine() = default;
  // Every input port and some output ports; what is left out is thrown away.
  virtual std::unique_ptr<Run> bind(const std::vector<BoundPort>& inputs, const std::vector<BoundPort>& outputs) = 0;
};

// One device, one set of options. Thread-safe.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual Memory& memory() = 0;
  // Throws Error V2V-E4005, E4006, E4008.
  virtual std::unique_ptr<Engine> load(const EngineSpec& spec) = 0;
};

// Opens a backend by name with a target's options. Throws Error V2V-E4001, E4002, E4004, E4009.
std::shared_ptr<Backend> open_backend(const std::string& name, const json::Value& options);

}  // namespace v2v_core
