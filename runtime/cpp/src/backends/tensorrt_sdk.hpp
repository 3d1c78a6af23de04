// What the TensorRT backend asks of TensorRT. The SDK's headers are read by tensorrt_sdk.cpp alone, which is compiled
// only where TENSORRT_ROOT names them; everything else of the backend is compiled always, and tests put a stand-in
// here.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "machine/dtypes.hpp"

namespace v2v_core::trt {

// One input or output of an engine.
struct IoTensor {
  std::string name;
  bool input;
  std::optional<DType> dtype;  // none: a type that manifests do not have
  Shape shape;                 // -1: open
};

// An execution context: one shape profile, one run at a time. What gives false was refused, and the words say why.
class Context {
 public:
  virtual ~Context() = default;
  virtual bool set_profile(int index, void* stream) = 0;
  virtual bool set_shape(const std::string& name, const Shape& shape) = 0;
  virtual bool set_address(const std::string& name, void* address) = 0;
  virtual bool enqueue(void* stream) = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual std::vector<IoTensor> tensors() const = 0;
  // Null: refused. `kernels` gives what was compiled at an earlier start and takes what is compiled now; it stays empty
  // where this TensorRT compiles nothing at run time.
  virtual std::unique_ptr<Context> context(std::string& kernels) = 0;
};

// The last errors that TensorRT told, from whichever thread.
class Words {
 public:
  void add(const char* text) noexcept;
  void clear();
  std::string last();  // on one line

 private:
  std::mutex lock_;
  std::vector<std::string> told_;  // under lock_; at most two
};

// TensorRT, loaded; it outlives its engines, and they their contexts.
class Library {
 public:
  virtual ~Library() = default;
  virtual std::string version() const = 0;
  // Null: refused. Code for the host inside an engine is never allowed.
  virtual std::unique_ptr<Engine> deserialize(const std::string& plan) = 0;

  Words words;
};

// Loads TensorRT of a flavour: "rtx", "10" or "11". Throws Error V2V-E4404: it is not there, or is another than the
// headers that this library was built with.
std::unique_ptr<Library> open_library(const std::string& flavour);

}  // namespace v2v_core::trt
