// A backend that does nothing: its graphs say that every check is good. What it plays in is given.
#pragma once

#include <memory>
#include <vector>

#include "machine/backend.hpp"

namespace v2v_test {

class NothingRun final : public v2v_core::Run {
 public:
  explicit NothingRun(const std::vector<v2v_core::BoundPort>& outputs) : outputs_(outputs) {}
  void operator()() override {
    for (const v2v_core::BoundPort& port : outputs_) {
      if (port.tensor->dtype == v2v_core::DType::boolean) *port.tensor->address = std::byte{1};
    }
  }
  void rebind(const std::vector<v2v_core::BoundPort>& /*inputs*/,
              const std::vector<v2v_core::BoundPort>& outputs) override {
    for (std::size_t i = 0; i < outputs.size(); ++i) outputs_[i].tensor = outputs[i].tensor;
  }

 private:
  std::vector<v2v_core::BoundPort> outputs_;
};

class NothingEngine final : public v2v_core::Engine {
 public:
  std::unique_ptr<v2v_core::Run> bind(const std::vector<v2v_core::BoundPort>& /*inputs*/,
                                      const std::vector<v2v_core::BoundPort>& outputs) override {
    return std::make_unique<NothingRun>(outputs);
  }
};

template <class HostMemory>
class NothingBackend final : public v2v_core::Backend {
 public:
  HostMemory& memory() override { return memory_; }
  std::unique_ptr<v2v_core::Engine> load(const v2v_core::EngineSpec& /*spec*/) override {
    return std::make_unique<NothingEngine>();
  }

 private:
  HostMemory memory_;
};

}  // namespace v2v_test
