// The one file that reads TensorRT's headers; see tensorrt_sdk.hpp. They belong to one flavour, whose library is loaded
// when it is asked for: nothing links it. Objects of TensorRT are ended by its own code (virtual destructors).
#include "backends/tensorrt_sdk.hpp"

#include <array>
#include <type_traits>

#include <NvInferRuntime.h>
#include <dlfcn.h>

#include "error.hpp"

namespace v2v_core::trt {
namespace {

#define V2V_TEXT_OF(number) #number
#define V2V_TEXT(number) V2V_TEXT_OF(number)
#ifdef TRT_MAJOR_RTX
constexpr std::string_view kFlavour = "rtx";
constexpr std::string_view kName = "TensorRT for RTX";
constexpr std::array<const char*, 2> kLibraries{"libtensorrt_rtx.so." V2V_TEXT(NV_TENSORRT_MAJOR),
                                                "libtensorrt_rtx.so"};
#else
static_assert(NV_TENSORRT_MAJOR == 10 || NV_TENSORRT_MAJOR == 11, "TensorRT 10 or 11, or TensorRT for RTX");
constexpr std::string_view kFlavour = V2V_TEXT(NV_TENSORRT_MAJOR);
constexpr std::string_view kName = "TensorRT";
constexpr std::array<const char*, 2> kLibraries{"libnvinfer.so." V2V_TEXT(NV_TENSORRT_MAJOR), "libnvinfer.so"};
#endif
#undef V2V_TEXT
#undef V2V_TEXT_OF

[[noreturn]] void other_library(std::string seen) {
  throw Error{4404, std::move(seen),
              cat(kName, " ", NV_TENSORRT_MAJOR, ".", NV_TENSORRT_MINOR, ".", NV_TENSORRT_PATCH,
                  ", whose headers this library was built with, or a newer ", NV_TENSORRT_MAJOR, ".x"),
              "add the folder of its libraries to the library path"};
}

std::optional<DType> dtype_of(nvinfer1::DataType type) {
  switch (type) {
    case nvinfer1::DataType::kBOOL:
      return DType::boolean;
    case nvinfer1::DataType::kUINT8:
      return DType::uint8;
    case nvinfer1::DataType::kINT32:
      return DType::int32;
    case nvinfer1::DataType::kINT64:
      return DType::int64;
    case nvinfer1::DataType::kHALF:
      return DType::float16;
    case nvinfer1::DataType::kFLOAT:
      return DType::float32;
    default:
      return std::nullopt;
  }
}

class Logger final : public nvinfer1::ILogger {
 public:
  explicit Logger(Words& words) : words_(words) {}
  void log(Severity severity, const char* text) noexcept override {
    if (severity <= Severity::kERROR) words_.add(text);
  }

 private:
  Words& words_;
};

class SdkContext final : public Context {
 public:
#ifdef TRT_MAJOR_RTX
  // Null where TensorRT refuses.
  static std::unique_ptr<Context> make(nvinfer1::ICudaEngine& engine, std::string& kernels) {
    auto made = std::make_unique<SdkContext>();
    made->config_.reset(engine.createRuntimeConfig());
    if (!made->config_) return nullptr;
    made->cache_.reset(made->config_->createRuntimeCache());
    if (made->cache_) {
      // A cache of another environment is refused and costs its use alone.
      if (!kernels.empty()) made->cache_->deserialize(kernels.data(), kernels.size());
      made->config_->setRuntimeCache(*made->cache_);
    }
    made->context_.reset(engine.createExecutionContext(made->config_.get()));
    if (!made->context_) return nullptr;
    if (made->cache_) {
      const std::unique_ptr<nvinfer1::IHostMemory> memory(made->cache_->serialize());
      if (memory) kernels.assign(static_cast<const char*>(memory->data()), memory->size());
    }
    return made;
  }
#else
  static std::unique_ptr<Context> make(nvinfer1::ICudaEngine& engine, std::string& kernels) {
    kernels.clear();
    auto made = std::make_unique<SdkContext>();
    made->context_.reset(engine.createExecutionContext());
    if (!made->context_) return nullptr;
    return made;
  }
#endif

  bool set_profile(int index, void* stream) override {
    return context_->setOptimizationProfileAsync(index, static_cast<cudaStream_t>(stream));
  }

  bool set_shape(const std::string& name, const Shape& shape) override {
    nvinfer1::Dims dims{};
    if (shape.size() > nvinfer1::Dims::MAX_DIMS) return false;
    dims.nbDims = static_cast<std::int32_t>(shape.size());
    for (std::size_t i = 0; i < shape.size(); ++i) dims.d[i] = shape[i];
    return context_->setInputShape(name.c_str(), dims);
  }

  bool set_address(const std::string& name, void* address) override {
    return context_->setTensorAddress(name.c_str(), address);
  }

  bool enqueue(void* stream) override { return context_->enqueueV3(static_cast<cudaStream_t>(stream)); }

 private:
#ifdef TRT_MAJOR_RTX
  std::unique_ptr<nvinfer1::IRuntimeConfig> config_;
  std::unique_ptr<nvinfer1::IRuntimeCache> cache_;  // the config refers to it
#endif
  std::unique_ptr<nvinfer1::IExecutionContext> context_;
};

class SdkEngine final : public Engine {
 public:
  explicit SdkEngine(std::unique_ptr<nvinfer1::ICudaEngine> engine) : engine_(std::move(engine)) {}

  std::vector<IoTensor> tensors() const override {
    std::vector<IoTensor> found;
    for (std::int32_t i = 0; i < engine_->getNbIOTensors(); ++i) {
      const char* name = engine_->getIOTensorName(i);
      const nvinfer1::Dims dims = engine_->getTensorShape(name);
      found.push_back({name, engine_->getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT,
                       dtype_of(engine_->getTensorDataType(name)),
                       dims.nbDims < 0 ? Shape{} : Shape(dims.d, dims.d + dims.nbDims)});
    }
    return found;
  }

  std::unique_ptr<Context> context(std::string& kernels) override { return SdkContext::make(*engine_, kernels); }

 private:
  std::unique_ptr<nvinfer1::ICudaEngine> engine_;
};

class SdkLibrary final : public Library {
 public:
  explicit SdkLibrary(void* library) : logger_(words) {
    const std::array<int, 4> parts{
        find<decltype(getInferLibMajorVersion)>(library, "getInferLibMajorVersion")(),
        find<decltype(getInferLibMinorVersion)>(library, "getInferLibMinorVersion")(),
        find<decltype(getInferLibPatchVersion)>(library, "getInferLibPatchVersion")(),
        find<decltype(getInferLibBuildVersion)>(library, "getInferLibBuildVersion")(),
    };
    for (const int part : parts) version_ += cat(version_.empty() ? "" : ".", part);
    // Objects of a newer library have the functions of these headers at their places, those of an older one may not.
    const std::array<int, 3> built{NV_TENSORRT_MAJOR, NV_TENSORRT_MINOR, NV_TENSORRT_PATCH};
    if (parts[0] != built[0] || std::array<int, 3>{parts[0], parts[1], parts[2]} < built) {
      other_library(cat(kName, " ", version_, " is installed"));
    }
    auto* create = find<decltype(createInferRuntime_INTERNAL)>(library, "createInferRuntime_INTERNAL");
    runtime_.reset(
        static_cast<nvinfer1::IRuntime*>(create(static_cast<nvinfer1::ILogger*>(&logger_), NV_TENSORRT_VERSION)));
    if (!runtime_) other_library(cat(kName, " ", version_, " makes no runtime: ", words.last()));
    runtime_->setEngineHostCodeAllowed(false);
  }

  std::string version() const override { return version_; }

  std::unique_ptr<Engine> deserialize(const std::string& plan) override {
    std::unique_ptr<nvinfer1::ICudaEngine> engine(runtime_->deserializeCudaEngine(plan.data(), plan.size()));
    if (!engine) return nullptr;
    return std::make_unique<SdkEngine>(std::move(engine));
  }

 private:
  template <class Function>
  static std::add_pointer_t<Function> find(void* library, const char* name) {
    void* symbol = dlsym(library, name);
    if (symbol == nullptr) other_library(cat("the library of ", kName, " has no ", name));
    return reinterpret_cast<std::add_pointer_t<Function>>(symbol);
  }

  std::string version_;
  Logger logger_;
  std::unique_ptr<nvinfer1::IRuntime> runtime_;
};

}  // namespace

std::unique_ptr<Library> open_library(const std::string& flavour) {
  if (flavour != kFlavour) {
    throw Error{4404, cat("this library was built with the headers of ", kName, " ", NV_TENSORRT_MAJOR),
                cat("flavour ", quote(flavour), ", for which this target's engines were built"),
                "build it with TENSORRT_ROOT naming that SDK, or build the target for this one"};
  }
  std::string causes;
  for (const char* name : kLibraries) {
    // It stays loaded: its threads and static objects do not expect an end.
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return std::make_unique<SdkLibrary>(library);
    // NOLINTNEXTLINE(concurrency-mt-unsafe): glibc keeps it for each thread
    causes += (causes.empty() ? "" : "; ") + std::string(dlerror());
  }
  other_library(cat(kName, " cannot be loaded (", causes, ")"));
}

}  // namespace v2v_core::trt
