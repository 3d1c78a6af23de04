// The machine over device memory, where the CUDA runtime library is a stand-in that puts every copy off until its
// stream is waited for:
//   v2v_cuda BUNDLE LIBRARY STEPS
// The graphs run on the CPU after a wait of their own. Prints {"frames", "expected", "same"}: frames handed over,
// frames that the host's memory gives, and how many are the same.
#include <cstdlib>
#include <iostream>

#include "backends/cuda.hpp"
#include "backends/onnxruntime.hpp"
#include "clip.hpp"

namespace {

class WaitingRun final : public v2v_core::Run {
 public:
  WaitingRun(std::shared_ptr<v2v_core::CudaRuntime> cuda, std::unique_ptr<v2v_core::Run> run)
      : cuda_(std::move(cuda)), run_(std::move(run)) {}
  void operator()() override {
    cuda_->wait();
    (*run_)();
  }
  void rebind(const std::vector<v2v_core::BoundPort>& inputs,
              const std::vector<v2v_core::BoundPort>& outputs) override {
    run_->rebind(inputs, outputs);
  }

 private:
  std::shared_ptr<v2v_core::CudaRuntime> cuda_;
  std::unique_ptr<v2v_core::Run> run_;
};

class WaitingEngine final : public v2v_core::Engine {
 public:
  WaitingEngine(std::shared_ptr<v2v_core::CudaRuntime> cuda, std::unique_ptr<v2v_core::Engine> engine)
      : cuda_(std::move(cuda)), engine_(std::move(engine)) {}
  std::unique_ptr<v2v_core::Run> bind(const std::vector<v2v_core::BoundPort>& inputs,
                                      const std::vector<v2v_core::BoundPort>& outputs) override {
    return std::make_unique<WaitingRun>(cuda_, engine_->bind(inputs, outputs));
  }

 private:
  std::shared_ptr<v2v_core::CudaRuntime> cuda_;
  std::unique_ptr<v2v_core::Engine> engine_;
};

class StandInBackend final : public v2v_core::Backend {
 public:
  StandInBackend(std::shared_ptr<v2v_core::CudaRuntime> cuda, std::shared_ptr<v2v_core::Backend> cpu)
      : cuda_(std::move(cuda)), cpu_(std::move(cpu)), memory_(cuda_) {}
  v2v_core::Memory& memory() override { return memory_; }
  std::unique_ptr<v2v_core::Engine> load(const v2v_core::EngineSpec& spec) override {
    return std::make_unique<WaitingEngine>(cuda_, cpu_->load(spec));
  }

 private:
  std::shared_ptr<v2v_core::CudaRuntime> cuda_;
  std::shared_ptr<v2v_core::Backend> cpu_;
  v2v_core::CudaMemory memory_;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return 2;
  try {
    const auto bundle = v2v_core::Bundle::open(arguments[1], true);
    const v2v_core::json::Value options = v2v_core::json::parse(R"({"threads": 1})");
    const int steps = std::atoi(arguments[3]);
    const auto cpu = v2v_core::open_onnxruntime(options);
    const auto cuda = std::make_shared<v2v_core::CudaRuntime>(0, std::initializer_list<const char*>{arguments[2]});
    const std::string& variant = bundle->manifest().variant_order.front();
    const auto clip = [&](std::shared_ptr<v2v_core::Backend> backend) {
      return v2v_test::play(std::make_shared<v2v_core::Session>(bundle, variant, std::move(backend)), steps);
    };
    v2v_test::print_same(clip(std::make_shared<StandInBackend>(cuda, cpu)), clip(cpu));
    return 0;
  } catch (const v2v_core::Error& error) {
    std::cerr << error.message() << '\n';
    return 1;
  }
}
