// Stands in for TensorRT. It writes down what is asked of it, and where it is given an engine of ONNX Runtime, it runs
// that one over the addresses that it was told, under TensorRT's rules: every tensor has an address of 256 bytes'
// alignment, open axes have a shape of the chosen profile, and everything is on the one stream.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backends/cuda.hpp"
#include "backends/tensorrt_sdk.hpp"
#include "machine/backend.hpp"

namespace v2v_test {

namespace trt = v2v_core::trt;

// What the stand-in takes the next plan for.
struct Plan {
  std::string bytes;
  std::vector<trt::IoTensor> tensors;
  v2v_core::EngineSpec spec;
  std::shared_ptr<v2v_core::Engine> runs;  // null: a run does nothing
};

struct Ledger {
  v2v_core::json::Array calls;
  std::map<const void*, std::string> names;  // of addresses
  std::string refuse;                        // the function that refuses from now on: address, shape, run, context

  template <class... Words>
  bool note(const std::string& what, const Words&... words) {
    calls.emplace_back(v2v_core::cat(what, v2v_core::cat(" ", words)...));
    return refuse != what;
  }
  std::string name(const void* address) const {
    const auto found = names.find(address);
    return found == names.end() ? (address == nullptr ? "null" : "another") : found->second;
  }
};

class StandInContext final : public trt::Context {
 public:
  StandInContext(Plan& plan, Ledger& ledger, trt::Words& words, v2v_core::CudaRuntime& cuda)
      : plan_(plan), ledger_(ledger), words_(words), cuda_(cuda) {}

  bool set_profile(int index, void* stream) override {
    profile_ = static_cast<std::size_t>(index);
    return told(ledger_.note("profile", index) && stream == cuda_.stream());
  }

  bool set_shape(const std::string& name, const v2v_core::Shape& shape) override {
    rows_ = shape.front();
    return told(ledger_.note("shape", name, v2v_core::shape_text(shape)) && profile_ < plan_.spec.buckets.size() &&
                plan_.spec.buckets[profile_] == rows_);
  }

  bool set_address(const std::string& name, void* address) override {
    if (!told(ledger_.note("address", name, ledger_.name(address)))) return false;
    addresses_[name] = static_cast<std::byte*>(address);
    run_.reset();
    return told(reinterpret_cast<std::uintptr_t>(address) % v2v_core::kAlignment == 0);
  }

  bool enqueue(void* stream) override {
    if (!told(ledger_.note("run") && stream == cuda_.stream())) return false;
    if (plan_.runs == nullptr) return true;
    if (!run_) bind();
    if (!run_) return told(false);
    cuda_.wait();
    (*run_)();
    return true;
  }

 private:
  bool told(bool good) {
    if (!good) words_.add("the stand-in\n refuses");
    return good;
  }

  void bind() {
    std::vector<v2v_core::BoundPort> inputs;
    std::vector<v2v_core::BoundPort> outputs;
    for (const bool input : {true, false}) {
      for (const v2v_core::Port& port : input ? plan_.spec.inputs : plan_.spec.outputs) {
        v2v_core::Shape shape = port.shape;
        if (port.rows) shape.front() = rows_;
        const auto address = addresses_.find(port.name);
        if (address == addresses_.end() || (port.rows && rows_ == 0)) return;
        const std::int64_t bytes = v2v_core::elements(shape) * v2v_core::item_bytes(port.dtype);
        (input ? inputs : outputs)
            .push_back({port.name, std::make_shared<const v2v_core::Tensor>(
                                       v2v_core::Tensor{port.dtype, shape, address->second, bytes, nullptr})});
      }
    }
    run_ = plan_.runs->bind(inputs, outputs);
  }

  Plan& plan_;
  Ledger& ledger_;
  trt::Words& words_;
  v2v_core::CudaRuntime& cuda_;
  std::map<std::string, std::byte*> addresses_;
  std::int64_t rows_ = 0;
  std::size_t profile_ = 0;
  std::unique_ptr<v2v_core::Run> run_;
};

class StandInEngine final : public trt::Engine {
 public:
  StandInEngine(Plan plan, Ledger& ledger, trt::Words& words, v2v_core::CudaRuntime& cuda)
      : plan_(std::move(plan)), ledger_(ledger), words_(words), cuda_(cuda) {}

  std::vector<trt::IoTensor> tensors() const override { return plan_.tensors; }

  // Compiles one more kernel each time.
  std::unique_ptr<trt::Context> context(std::string& kernels) override {
    if (!ledger_.note("context", kernels)) {
      words_.add("no room");
      return nullptr;
    }
    kernels += "k";
    return std::make_unique<StandInContext>(plan_, ledger_, words_, cuda_);
  }

 private:
  Plan plan_;
  Ledger& ledger_;
  trt::Words& words_;
  v2v_core::CudaRuntime& cuda_;
};

class StandInLibrary final : public trt::Library {
 public:
  explicit StandInLibrary(std::shared_ptr<v2v_core::CudaRuntime> cuda) : cuda_(std::move(cuda)) {}

  std::string version() const override { return "1.7.1"; }

  std::unique_ptr<trt::Engine> deserialize(const std::string& plan) override {
    ledger.note("deserialize", plan.size());
    if (plan == next.bytes) return std::make_unique<StandInEngine>(std::move(next), ledger, words, *cuda_);
    words.add("not");
    words.add("a plan");
    return nullptr;
  }

  Ledger ledger;
  Plan next;

 private:
  std::shared_ptr<v2v_core::CudaRuntime> cuda_;
};

}  // namespace v2v_test
