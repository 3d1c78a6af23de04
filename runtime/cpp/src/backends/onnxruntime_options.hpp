#pragma once

#include <cstdint>
#include <string>

#include "json/value.hpp"

namespace v2v_core {

// What a target says of the session, checked; v2v_runtime/backends/onnxruntime.py documents it.
struct OnnxRuntimeOptions {
  std::string provider = "cpu";
  std::int64_t device = 0;
  std::int64_t threads = 0;
  bool spin = false;
  bool arena = true;
  std::string optimization = "all";

  // Throws Error: V2V-E4009.
  static OnnxRuntimeOptions read(const json::Value& given);
};

}  // namespace v2v_core
