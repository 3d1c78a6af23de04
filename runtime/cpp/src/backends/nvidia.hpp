// What the NVIDIA driver says of this machine's GPUs, asked through the driver's own library alone.
#pragma once

#include <string>

namespace v2v_core {

struct Gpu {
  std::string name;        // as the driver calls it
  std::string capability;  // compute capability, such as "8.9"
  int driver;              // the CUDA version that the driver speaks: 13000 for 13.0
};

// The GPU of that index. Throws Error V2V-E4402: there is no driver, or no such GPU.
Gpu find_gpu(int index, const char* library = "libcuda.so.1");

}  // namespace v2v_core
