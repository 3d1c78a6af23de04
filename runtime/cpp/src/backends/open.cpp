// Backends by name.
#include "backends/onnxruntime.hpp"
#include "error.hpp"
#include "machine/backend.hpp"
#ifdef V2V_HAS_TENSORRT
#include "backends/tensorrt.hpp"
#endif

namespace v2v_core {

std::shared_ptr<Backend> open_backend(const std::string& name, const json::Value& options) {
  if (name == "onnxruntime") return open_onnxruntime(options);
#ifdef V2V_HAS_TENSORRT
  if (name == "tensorrt") return open_tensorrt(options, trt::open_library);
#endif
  if (name == "tensorrt") {
    throw Error{4002, "this library was built without the TensorRT backend", "",
                "build it with -DTENSORRT_ROOT=<the SDK's folder>, or play another target"};
  }
  throw Error{4001, cat("backend ", quote(name), " is unknown"), "onnxruntime or tensorrt"};
}

}  // namespace v2v_core
