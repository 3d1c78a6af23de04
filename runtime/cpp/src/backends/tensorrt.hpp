// TensorRT for RTX, and full TensorRT 10 and 11: engines built before, tensors that the caller owns. As
// v2v_runtime/backends/tensorrt.py: the same options, refusals and codes.
//
// Built, not run on a GPU: no machine of this project's tests has one for it. The order of calls, the refusals and the
// choice of shape profiles are tested over a stand-in; that an engine computes the right numbers is not.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backends/cuda.hpp"
#include "backends/nvidia.hpp"
#include "backends/tensorrt_sdk.hpp"
#include "machine/backend.hpp"

namespace v2v_core {

struct TensorRtOptions {
  std::string flavour = "rtx";
  json::Value compute_capability;  // null: not checked
  int device = 0;
  // sha256 of engines that were not built here and may be loaded all the same; `session_options` adds those of a target
  std::vector<std::string> trust;

  // Throws Error V2V-E4009.
  static TensorRtOptions read(const json::Value& given);
};

// TensorRT, loaded by `load`, on the GPU that the options name. Throws Error: V2V-E4009, no driver or GPU (E4402),
// another GPU than the target's (E4403), no TensorRT or another one (E4404), no CUDA runtime library (E4011, E4012).
std::shared_ptr<Backend> open_tensorrt(const json::Value& options,
                                       std::unique_ptr<trt::Library> (*load)(const std::string& flavour));

// The backend over what was opened before.
std::shared_ptr<Backend> make_tensorrt(std::shared_ptr<trt::Library> library, TensorRtOptions options, Gpu gpu,
                                       std::shared_ptr<CudaRuntime> cuda);

}  // namespace v2v_core
