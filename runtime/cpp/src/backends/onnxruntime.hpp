#pragma once

#include <memory>

#include "machine/backend.hpp"

namespace v2v_core {

// ONNX Runtime with a target's options: those that v2v_runtime/backends/onnxruntime.py documents.
std::shared_ptr<Backend> open_onnxruntime(const json::Value& options);

}  // namespace v2v_core
