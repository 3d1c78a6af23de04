// A loaded TensorRT engine: its ports, its contexts, and runs that are bound beforehand. See tensorrt.hpp.
#pragma once

#include <memory>

#include "backends/cuda.hpp"
#include "backends/tensorrt_sdk.hpp"
#include "machine/backend.hpp"
#include "user_files.hpp"

namespace v2v_core::trt {

// Throws Error V2V-E4008: the engine's ports differ from the manifest's.
void check_ports(const trt::Engine& engine, const EngineSpec& spec);

// One context per shape profile, all on the CUDA stream.
std::unique_ptr<v2v_core::Engine> make_engine(std::shared_ptr<Library> library, std::unique_ptr<trt::Engine> engine,
                                              EngineSpec spec, std::shared_ptr<CudaRuntime> cuda,
                                              std::shared_ptr<Memory> memory, JitCache cache);

}  // namespace v2v_core::trt
