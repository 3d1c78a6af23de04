#include "backends/nvidia.hpp"

#include <array>
#include <type_traits>

#include <dlfcn.h>

#include "error.hpp"

namespace v2v_core {
namespace {

constexpr int kMajor = 75;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
constexpr int kMinor = 76;

[[noreturn]] void none(std::string seen) {
  throw Error{4402, std::move(seen), "the GPU that this target was built for",
              "play it on a machine with that GPU, or play the bundle's cpu target here"};
}

template <class Function>
Function* find(void* library, const char* name) {
  void* symbol = dlsym(library, name);
  if (symbol == nullptr) none(cat("the NVIDIA driver's library has no ", name));
  return reinterpret_cast<Function*>(symbol);
}

}  // namespace

Gpu find_gpu(int index, const char* name) {
  // It stays loaded: the CUDA runtime library uses it too.
  void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): glibc keeps it for each thread
    none(cat("there is no NVIDIA driver here (", std::string(dlerror()), ")"));
  }
  auto* const start = find<int(unsigned)>(library, "cuInit");
  auto* const count_of = find<int(int*)>(library, "cuDeviceGetCount");
  auto* const device_at = find<int(int*, int)>(library, "cuDeviceGet");
  auto* const name_of = find<int(char*, int, int)>(library, "cuDeviceGetName");
  auto* const attribute_of = find<int(int*, int, int)>(library, "cuDeviceGetAttribute");
  auto* const version_of = find<int(int*)>(library, "cuDriverGetVersion");
  int count = 0;
  if (start(0) != 0 || count_of(&count) != 0 || count == 0) none("the NVIDIA driver finds no GPU");
  int device = 0;
  int major = 0;
  int minor = 0;
  int driver = 0;
  std::array<char, 128> called{};
  if (device_at(&device, index) != 0 || name_of(called.data(), static_cast<int>(called.size()), device) != 0 ||
      attribute_of(&major, kMajor, device) != 0 || attribute_of(&minor, kMinor, device) != 0 ||
      version_of(&driver) != 0) {
    none(cat("the NVIDIA driver has no GPU ", index, "; it finds ", count));
  }
  called.back() = '\0';
  return {called.data(), cat(major, ".", minor), driver};
}

}  // namespace v2v_core
