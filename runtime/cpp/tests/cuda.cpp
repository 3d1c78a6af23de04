// The machine over device memory, where the CUDA runtime library is a stand-in that puts every copy off until its
// stream is waited for:
//   v2v_cuda BUNDLE LIBRARY STEPS
// The graphs run on the CPU after a wait of their own. Prints {"frames", "expected", "same"}: frames handed over,
// frames that the host's memory gives, and how many are the same.
#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "backends/cuda.hpp"
#include "backends/onnxruntime.hpp"
#include "error.hpp"
#include "machine/stream.hpp"

namespace {

using Frame = std::vector<std::byte>;

class WaitingRun final : public v2v_core::Run {
 public:
  WaitingRun(std::shared_ptr<v2v_core::CudaRuntime> cuda, std::unique_ptr<v2v_core::Run> run)
      : cuda_(std::move(cuda)), run_(std::move(run)) {}
  void operator()() override {
    cuda_->wait();
    (*run_)();
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

// Every frame of a clip, a flush, a reset and half the clip again.
std::vector<Frame> play(const std::shared_ptr<v2v_core::Bundle>& bundle, std::shared_ptr<v2v_core::Backend> backend,
                        int steps) {
  const auto session =
      std::make_shared<v2v_core::Session>(bundle, bundle->manifest().variant_order.front(), std::move(backend));
  v2v_core::Stream stream(session, {}, true, false);
  const v2v_core::FrameSpec& in = stream.input();
  const v2v_core::FrameSpec& out = stream.output();
  std::vector<Frame> shown;
  const auto collect = [&] {
    std::vector<Frame> room(16, Frame(static_cast<std::size_t>(out.width * out.height * 3)));
    std::vector<v2v_core::OutputFrame> outputs;
    for (Frame& each : room) outputs.push_back({each.data(), out.width * 3});
    const std::size_t count = stream.collect(outputs);
    shown.insert(shown.end(), room.begin(), room.begin() + static_cast<std::ptrdiff_t>(count));
  };
  const auto push = [&](int seed) {
    Frame frame(static_cast<std::size_t>(in.width * in.height * 3));
    for (std::size_t i = 0; i < frame.size(); ++i)
      frame[i] = static_cast<std::byte>((i * 7 + static_cast<std::size_t>(seed) * 3) % 20);
    const v2v_core::Stream::Turn turn(stream);
    stream.submit({frame.data(), in.width * 3}, nullptr);
    collect();
  };
  for (int i = 0; i < steps; ++i) push(i);
  {
    const v2v_core::Stream::Turn turn(stream);
    stream.reset(false);
  }
  for (int i = 0; i < steps / 2; ++i) push(i + 5);
  return shown;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return 2;
  try {
    const auto bundle = v2v_core::Bundle::open(arguments[1], true);
    const v2v_core::json::Value options = v2v_core::json::parse(R"({"threads": 1})");
    const int steps = std::atoi(arguments[3]);
    const auto cpu = v2v_core::open_onnxruntime(options);
    const std::vector<Frame> expected = play(bundle, cpu, steps);
    const auto cuda = std::make_shared<v2v_core::CudaRuntime>(0, std::initializer_list<const char*>{arguments[2]});
    const std::vector<Frame> found = play(bundle, std::make_shared<StandInBackend>(cuda, cpu), steps);
    std::int64_t same = 0;
    for (std::size_t i = 0; i < std::min(found.size(), expected.size()); ++i) same += found[i] == expected[i] ? 1 : 0;
    std::cout << v2v_core::json::dump(v2v_core::json::Object{{"frames", static_cast<std::int64_t>(found.size())},
                                                             {"expected", static_cast<std::int64_t>(expected.size())},
                                                             {"same", same}})
              << '\n';
    return 0;
  } catch (const v2v_core::Error& error) {
    std::cerr << error.message() << '\n';
    return 1;
  }
}
