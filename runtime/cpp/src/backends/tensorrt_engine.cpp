#include "backends/tensorrt_engine.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "error.hpp"

namespace v2v_core::trt {
namespace {

// Axis 0 of rows is open, or it is that of the first shape profile.
bool fits(const IoTensor& found, const Port& port) {
  if (found.dtype != port.dtype || found.shape.size() != port.shape.size()) return false;
  const auto free = static_cast<std::ptrdiff_t>(port.rows ? 1 : 0);
  return std::equal(found.shape.begin() + free, found.shape.end(), port.shape.begin() + free);
}

std::string describe(bool input, std::optional<DType> dtype, const Shape& shape) {
  return cat(input ? "input " : "output ", dtype ? dtype_name(*dtype) : std::string_view("of another type"), " ",
             shape_text(shape));
}

struct Bound {
  std::string name;
  TensorPtr tensor;
};

// A context, and the run whose addresses it holds.
struct Place {
  std::unique_ptr<Context> context;
  const void* bound = nullptr;
};

// What an engine's runs share with it. Streams that share the engine share its contexts: addresses are set and the run
// is queued in one go.
class Shared {
 public:
  Shared(std::shared_ptr<Library> library, std::unique_ptr<trt::Engine> engine, EngineSpec spec,
         std::shared_ptr<CudaRuntime> cuda, std::shared_ptr<Memory> memory, JitCache cache)
      : library_(std::move(library)),
        cuda_(std::move(cuda)),
        memory_(std::move(memory)),
        spec_(std::move(spec)),
        cache_(std::move(cache)),
        engine_(std::move(engine)) {}

  ~Shared() {
    try {
      cuda_->wait();  // a context may not go while what it queued runs
    } catch (const Error&) {
      return;  // the device is lost, and what ran on it with it
    }
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  // The tensors of every port, and the context for their rows.
  std::pair<Place*, std::vector<Bound>> bind(const std::vector<BoundPort>& inputs,
                                             const std::vector<BoundPort>& outputs) {
    const std::lock_guard guard(lock_);
    std::vector<Bound> tensors;
    tensors.reserve(spec_.inputs.size() + spec_.outputs.size());
    for (const BoundPort& port : inputs) tensors.push_back({port.name, port.tensor});
    for (const BoundPort& port : outputs) tensors.push_back({port.name, port.tensor});
    for (const Port& port : spec_.outputs) {
      const auto is_port = [&](const BoundPort& each) { return each.name == port.name; };
      if (std::any_of(outputs.begin(), outputs.end(), is_port)) continue;
      tensors.push_back({port.name, waste(port)});
    }
    return {&place(inputs), std::move(tensors)};
  }

  // Other tensors of the same ports for a run that has been at `before`; gives its context for their rows.
  Place& rebind(Place& before, const void* run, std::vector<Bound>& tensors, const std::vector<BoundPort>& inputs,
                const std::vector<BoundPort>& outputs) {
    const std::lock_guard guard(lock_);
    if (before.bound == run) before.bound = nullptr;
    std::size_t i = 0;
    for (const auto* ports : {&inputs, &outputs}) {
      for (const BoundPort& port : *ports) tensors[i++].tensor = port.tensor;
    }
    return place(inputs);
  }

  void run(Place& place, const void* run, const std::vector<Bound>& tensors) {
    const std::lock_guard guard(lock_);
    cuda_->select();
    library_->words.clear();
    if (place.bound != run) {
      // Not bound before every address is: a refusal half way leaves nothing that looks ready.
      place.bound = nullptr;
      for (const Bound& each : tensors) demand(place.context->set_address(each.name, each.tensor->address));
      place.bound = run;
    }
    demand(place.context->enqueue(cuda_->stream()));
  }

  // Another run may get the address of one that has gone.
  void forget(Place& place, const void* run) {
    const std::lock_guard guard(lock_);
    if (place.bound == run) place.bound = nullptr;
  }

 private:
  // Every output needs an address: those that nobody wants share one tensor each.
  const TensorPtr& waste(const Port& port) {
    TensorPtr& tensor = waste_[port.name];
    if (!tensor) tensor = memory_->allocate(port.dtype, port.shape);
    return tensor;
  }

  // The context of the shape profile for these rows; made, and its kernels compiled, when first met.
  Place& place(const std::vector<BoundPort>& inputs) {
    const auto shape_of = [&](const Port& port) -> const Shape& {
      const auto is_port = [&](const BoundPort& each) { return each.name == port.name; };
      return std::find_if(inputs.begin(), inputs.end(), is_port)->tensor->shape;
    };
    const auto rows =
        std::find_if(spec_.inputs.begin(), spec_.inputs.end(), [](const Port& each) { return each.rows; });
    const bool has_rows = rows != spec_.inputs.end();
    const std::size_t profile = has_rows ? profile_of(shape_of(*rows).front()) : 0;
    const auto known = places_.find(profile);
    if (known != places_.end()) return known->second;
    cuda_->select();
    library_->words.clear();
    const std::string before = cache_.read();
    std::string kernels = before;
    Place made{engine_->context(kernels)};
    if (!made.context) {
      throw Error{4405, cat("TensorRT makes no context for graph ", quote(spec_.graph), ": ", library_->words.last()),
                  "room for the engine's activations on the GPU", "free some of the GPU's memory"};
    }
    if (!kernels.empty() && kernels != before) cache_.write(kernels);
    if (has_rows) demand(made.context->set_profile(static_cast<int>(profile), cuda_->stream()));
    for (const Port& port : spec_.inputs) {
      if (port.rows) demand(made.context->set_shape(port.name, shape_of(port)));
    }
    return places_.emplace(profile, std::move(made)).first->second;
  }

  std::size_t profile_of(std::int64_t count) const {
    const auto found = std::find(spec_.buckets.begin(), spec_.buckets.end(), count);
    if (found == spec_.buckets.end()) {
      std::string listed;
      for (const std::int64_t bucket : spec_.buckets) listed += cat(listed.empty() ? "" : ", ", bucket);
      throw Error{4008, cat(count, " rows at graph ", quote(spec_.graph)), "one of its buckets: " + listed,
                  "build the bundle again"};
    }
    return static_cast<std::size_t>(found - spec_.buckets.begin());
  }

  void demand(bool good) {
    if (!good) throw Error{4007, cat("TensorRT, graph ", quote(spec_.graph), ": ", library_->words.last())};
  }

  std::shared_ptr<Library> library_;
  std::shared_ptr<CudaRuntime> cuda_;
  std::shared_ptr<Memory> memory_;
  EngineSpec spec_;
  JitCache cache_;
  std::unique_ptr<trt::Engine> engine_;
  std::mutex lock_;
  Map<TensorPtr> waste_;                 // under lock_
  std::map<std::size_t, Place> places_;  // under lock_; they go before the engine
};

class TensorRtRun final : public Run {
 public:
  TensorRtRun(std::shared_ptr<Shared> shared, Place& place, std::vector<Bound> tensors)
      : shared_(std::move(shared)), place_(&place), tensors_(std::move(tensors)) {}
  ~TensorRtRun() override { shared_->forget(*place_, this); }
  TensorRtRun(const TensorRtRun&) = delete;
  TensorRtRun& operator=(const TensorRtRun&) = delete;

  void operator()() override { shared_->run(*place_, this, tensors_); }

  void rebind(const std::vector<BoundPort>& inputs, const std::vector<BoundPort>& outputs) override {
    place_ = &shared_->rebind(*place_, this, tensors_, inputs, outputs);
  }

 private:
  std::shared_ptr<Shared> shared_;
  Place* place_;
  std::vector<Bound> tensors_;  // TensorRT sees addresses only
};

class TensorRtEngine final : public v2v_core::Engine {
 public:
  explicit TensorRtEngine(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  std::unique_ptr<Run> bind(const std::vector<BoundPort>& inputs, const std::vector<BoundPort>& outputs) override {
    auto [place, tensors] = shared_->bind(inputs, outputs);
    return std::make_unique<TensorRtRun>(shared_, *place, std::move(tensors));
  }

 private:
  std::shared_ptr<Shared> shared_;
};

}  // namespace

void check_ports(const trt::Engine& engine, const EngineSpec& spec) {
  Map<IoTensor> found;
  for (IoTensor& tensor : engine.tensors()) found.insert_or_assign(tensor.name, tensor);
  Map<std::pair<bool, const Port*>> wanted;
  for (const Port& port : spec.inputs) wanted.insert_or_assign(port.name, std::pair(true, &port));
  for (const Port& port : spec.outputs) wanted.insert_or_assign(port.name, std::pair(false, &port));
  std::set<std::string> names;
  for (const auto& [name, tensor] : found) names.insert(name);
  for (const auto& [name, port] : wanted) names.insert(name);
  for (const std::string& name : names) {
    const auto tensor = found.find(name);
    const auto port = wanted.find(name);
    const bool has = tensor != found.end();
    const bool needs = port != wanted.end();
    if (has && needs && tensor->second.input == port->second.first && fits(tensor->second, *port->second.second)) {
      continue;
    }
    throw Error{
        4008,
        cat("port ", quote(name), " of the engine of graph ", quote(spec.graph), " is ",
            has ? describe(tensor->second.input, tensor->second.dtype, tensor->second.shape) : std::string("missing")),
        (needs ? describe(port->second.first, port->second.second->dtype, port->second.second->shape)
               : std::string("no such port")) +
            ", as the manifest declares",
        "build the bundle again"};
  }
}

std::unique_ptr<v2v_core::Engine> make_engine(std::shared_ptr<Library> library, std::unique_ptr<trt::Engine> engine,
                                              EngineSpec spec, std::shared_ptr<CudaRuntime> cuda,
                                              std::shared_ptr<Memory> memory, JitCache cache) {
  return std::make_unique<TensorRtEngine>(std::make_shared<Shared>(
      std::move(library), std::move(engine), std::move(spec), std::move(cuda), std::move(memory), std::move(cache)));
}

}  // namespace v2v_core::trt
