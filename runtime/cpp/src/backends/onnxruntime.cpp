// ONNX Runtime on its CPU and CUDA providers, through its C API: bindings made beforehand, tensors that the caller
// owns.
//
// The CUDA path is built, not run: it keeps every tensor in device memory that `cuda` allocates, gives ONNX Runtime its
// own stream, and waits only where the machine reads a value.
#include "backends/onnxruntime.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include <dlfcn.h>
#include <onnxruntime_c_api.h>

#include "backends/cuda.hpp"
#include "backends/onnxruntime_options.hpp"
#include "error.hpp"

namespace v2v_core {
namespace {

ONNXTensorElementDataType element_type(DType dtype) {
  constexpr std::array<ONNXTensorElementDataType, 6> kTypes{
      ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,  ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,   ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
      ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT};
  return kTypes[static_cast<std::size_t>(dtype)];
}

// Found by name when it runs: a release writes its own version into this symbol's, and what was linked against one
// release would load with no other.
const OrtApiBase& api_base() {
  // Official builds send telemetry from the moment that they are loaded, unless this is set. What the application set
  // stands.
  setenv("ORT_DISABLE_TELEMETRY", "1", 0);  // NOLINT(concurrency-mt-unsafe): said in docs/cpp.md
  void* library = dlopen("libonnxruntime.so.1", RTLD_NOW | RTLD_LOCAL);  // it stays loaded
  void* symbol = library == nullptr ? nullptr : dlsym(library, "OrtGetApiBase");
  if (symbol == nullptr) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): glibc keeps it for each thread
    throw Error{4002, cat("ONNX Runtime cannot be loaded: ", std::string(dlerror())),
                "libonnxruntime.so.1 where the loader finds it"};
  }
  return *reinterpret_cast<decltype(&OrtGetApiBase)>(symbol)();
}

const OrtApi& load_api() {
  const OrtApiBase& base = api_base();
  const OrtApi* api = base.GetApi(ORT_API_VERSION);
  if (api == nullptr) {
    throw Error{4002, cat("this ONNX Runtime is ", base.GetVersionString()),
                cat("one that has API ", ORT_API_VERSION, ", that is 1.", ORT_API_VERSION, " or newer")};
  }
  return *api;
}

// What a call of the API failed with, or nothing.
struct Failure {
  bool failed;
  std::string message;
};

Failure take(const OrtApi& api, OrtStatus* status) {
  if (status == nullptr) return {false, {}};
  Failure failure{true, {}};
  try {
    failure.message = api.GetErrorMessage(status);
  } catch (...) {
    api.ReleaseStatus(status);
    throw;
  }
  api.ReleaseStatus(status);
  return failure;
}

void check(const OrtApi& api, OrtStatus* status, int code) {
  const Failure failure = take(api, status);
  if (failure.failed) throw Error{code, "onnxruntime: " + failure.message};
}

// An object of the API, released with it.
template <class T>
class Held {
 public:
  Held(T* object, void (*give_back)(T*)) : object_(object), release_(give_back) {}
  ~Held() {
    if (object_ != nullptr) release_(object_);
  }
  Held(Held&& other) noexcept : object_(std::exchange(other.object_, nullptr)), release_(other.release_) {}
  Held(const Held&) = delete;
  T* get() const { return object_; }
  T* release() { return std::exchange(object_, nullptr); }

 private:
  T* object_;
  void (*release_)(T*);
};

struct Library {
  explicit Library(const OrtApi& found) : api(found) {}
  ~Library() {
    if (memory_info != nullptr) api.ReleaseMemoryInfo(memory_info);
    if (env != nullptr) api.ReleaseEnv(env);
  }
  Library(const Library&) = delete;

  const OrtApi& api;
  std::shared_ptr<CudaRuntime> cuda;  // null on the CPU; sessions run on its stream
  OrtEnv* env = nullptr;
  OrtMemoryInfo* memory_info = nullptr;  // where tensors lie
};

constexpr std::string_view kCudaProvider = "CUDAExecutionProvider";

void check_provider(const OrtApi& api) {
  char** names = nullptr;
  int count = 0;
  check(api, api.GetAvailableProviders(&names, &count), 4002);
  bool found = false;
  std::string listed;
  try {
    for (int i = 0; i < count; ++i) {
      found = found || names[i] == kCudaProvider;
      listed += (i == 0 ? "" : ", ") + std::string(names[i]);
    }
  } catch (...) {
    check(api, api.ReleaseAvailableProviders(names, count), 4002);
    throw;
  }
  check(api, api.ReleaseAvailableProviders(names, count), 4002);
  if (!found) {
    throw Error{4004, cat("onnxruntime ", api_base().GetVersionString(), " has the providers ", listed),
                std::string(kCudaProvider), "give the loader a libonnxruntime.so.1 that was built for CUDA"};
  }
}

// One tensor to one port of a binding; what was bound there before goes.
void bind_port(const Library& library, OrtIoBinding& binding, const BoundPort& port, bool is_input) {
  const OrtApi& api = library.api;
  const Tensor& tensor = *port.tensor;
  OrtValue* raw = nullptr;
  check(api,
        api.CreateTensorWithDataAsOrtValue(library.memory_info, tensor.address, static_cast<std::size_t>(tensor.bytes),
                                           tensor.shape.data(), tensor.shape.size(), element_type(tensor.dtype), &raw),
        4007);
  const Held<OrtValue> value(raw, api.ReleaseValue);
  check(api,
        is_input ? api.BindInput(&binding, port.name.c_str(), raw) : api.BindOutput(&binding, port.name.c_str(), raw),
        4007);
}

class OrtRun final : public Run {
 public:
  OrtRun(std::shared_ptr<Library> library, std::shared_ptr<OrtSession> session,
         std::shared_ptr<OrtRunOptions> run_options, Held<OrtIoBinding> binding, std::vector<TensorPtr> kept)
      : library_(std::move(library)),
        session_(std::move(session)),
        run_options_(std::move(run_options)),
        binding_(std::move(binding)),
        kept_(std::move(kept)) {}

  void operator()() override {
    check(library_->api, library_->api.RunWithBinding(session_.get(), run_options_.get(), binding_.get()), 4007);
  }

  void rebind(const std::vector<BoundPort>& inputs, const std::vector<BoundPort>& outputs) override {
    std::size_t place = 0;
    for (const bool is_input : {true, false}) {
      for (const BoundPort& port : is_input ? inputs : outputs) {
        bind_port(*library_, *binding_.get(), port, is_input);
        kept_[place++] = port.tensor;
      }
    }
  }

 private:
  std::shared_ptr<Library> library_;
  std::shared_ptr<OrtSession> session_;
  std::shared_ptr<OrtRunOptions> run_options_;
  Held<OrtIoBinding> binding_;
  std::vector<TensorPtr> kept_;  // ONNX Runtime sees addresses only
};

class OrtEngine final : public Engine {
 public:
  OrtEngine(std::shared_ptr<Library> library, std::shared_ptr<OrtSession> session,
            std::shared_ptr<OrtRunOptions> run_options)
      : library_(std::move(library)), session_(std::move(session)), run_options_(std::move(run_options)) {}

  std::unique_ptr<Run> bind(const std::vector<BoundPort>& inputs, const std::vector<BoundPort>& outputs) override {
    const OrtApi& api = library_->api;
    OrtIoBinding* raw = nullptr;
    check(api, api.CreateIoBinding(session_.get(), &raw), 4007);
    Held<OrtIoBinding> binding(raw, api.ReleaseIoBinding);
    std::vector<TensorPtr> kept;
    for (const bool is_input : {true, false}) {
      for (const BoundPort& port : is_input ? inputs : outputs) {
        bind_port(*library_, *binding.get(), port, is_input);
        kept.push_back(port.tensor);
      }
    }
    return std::make_unique<OrtRun>(library_, session_, run_options_, std::move(binding), std::move(kept));
  }

 private:
  std::shared_ptr<Library> library_;
  std::shared_ptr<OrtSession> session_;
  std::shared_ptr<OrtRunOptions> run_options_;  // null: the default ones
};

class OrtBackend final : public Backend {
 public:
  OrtBackend(std::shared_ptr<Library> library, OnnxRuntimeOptions options, std::unique_ptr<Memory> memory)
      : library_(std::move(library)), options_(std::move(options)), memory_(std::move(memory)) {}

  Memory& memory() override { return *memory_; }

  std::unique_ptr<Engine> load(const EngineSpec& spec) override {
    const OrtApi& api = library_->api;
    const Held<OrtSessionOptions> settings = session_options();
    OrtSession* raw = nullptr;
    const Failure failure = take(api, api.CreateSession(library_->env, spec.onnx.c_str(), settings.get(), &raw));
    if (failure.failed) throw refused(spec, failure.message);
    Held<OrtSession> held(raw, api.ReleaseSession);
    check_ports(spec, *raw, true);
    check_ports(spec, *raw, false);
    // The session may outlive the engine in its runs, and needs the library until then.
    std::shared_ptr<OrtSession> session(held.release(),
                                        [library = library_](OrtSession* each) { library->api.ReleaseSession(each); });
    return std::make_unique<OrtEngine>(library_, std::move(session), run_options());
  }

 private:
  Held<OrtSessionOptions> session_options() const {
    const OrtApi& api = library_->api;
    OrtSessionOptions* raw = nullptr;
    check(api, api.CreateSessionOptions(&raw), 4005);
    Held<OrtSessionOptions> options(raw, api.ReleaseSessionOptions);
    const GraphOptimizationLevel level = options_.optimization == "all"        ? ORT_ENABLE_ALL
                                         : options_.optimization == "extended" ? ORT_ENABLE_EXTENDED
                                         : options_.optimization == "basic"    ? ORT_ENABLE_BASIC
                                                                               : ORT_DISABLE_ALL;
    check(api, api.SetIntraOpNumThreads(raw, static_cast<int>(options_.threads)), 4005);
    check(api, api.SetSessionGraphOptimizationLevel(raw, level), 4005);
    // What fails says so in its status, which errors quote; nothing of it goes to stderr.
    check(api, api.SetSessionLogSeverityLevel(raw, ORT_LOGGING_LEVEL_FATAL), 4005);
    if (!options_.spin) check(api, api.AddSessionConfigEntry(raw, "session.intra_op.allow_spinning", "0"), 4005);
    if (!options_.arena) {
      check(api, api.DisableCpuMemArena(raw), 4005);
      check(api, api.DisableMemPattern(raw), 4005);
    }
    if (library_->cuda) append_cuda(*raw);
    return options;
  }

  void append_cuda(OrtSessionOptions& options) const {
    const OrtApi& api = library_->api;
    OrtCUDAProviderOptionsV2* raw = nullptr;
    check(api, api.CreateCUDAProviderOptions(&raw), 4004);
    const Held<OrtCUDAProviderOptionsV2> settings(raw, api.ReleaseCUDAProviderOptions);
    const std::string device = std::to_string(options_.device);
    const std::string stream = std::to_string(reinterpret_cast<std::uintptr_t>(library_->cuda->stream()));
    constexpr std::array<const char*, 3> kNames{"device_id", "user_compute_stream", "cudnn_conv_algo_search"};
    // The same result in every process: no kernel chosen by a race between clocks.
    const std::array<const char*, 3> values{device.c_str(), stream.c_str(), "HEURISTIC"};
    check(api, api.UpdateCUDAProviderOptions(raw, kNames.data(), values.data(), kNames.size()), 4004);
    check(api, api.SessionOptionsAppendExecutionProvider_CUDA_V2(&options, raw), 4004);
  }

  std::shared_ptr<OrtRunOptions> run_options() const {
    if (!library_->cuda) return nullptr;
    const OrtApi& api = library_->api;
    OrtRunOptions* raw = nullptr;
    check(api, api.CreateRunOptions(&raw), 4005);
    std::shared_ptr<OrtRunOptions> options(raw, api.ReleaseRunOptions);
    // Copies and reads are ordered on the same stream; waiting after every graph would only cost time.
    check(api, api.AddRunConfigEntry(raw, "disable_synchronize_execution_providers", "1"), 4005);
    return options;
  }

  static Error refused(const EngineSpec& spec, const std::string& message) {
    const std::string version = api_base().GetVersionString();
    constexpr std::array<std::string_view, 3> kTooNew{"Unsupported model IR version", "is under development",
                                                      "Could not find an implementation for"};
    for (const std::string_view words : kTooNew) {
      if (message.find(words) != std::string::npos) {
        return {4006, cat("graph ", quote(spec.graph), " needs a newer ONNX Runtime than ", version, ": ", message), "",
                "upgrade ONNX Runtime, or build the bundle with a lower opset"};
      }
    }
    return {4005, cat("onnxruntime ", version, " cannot load graph ", quote(spec.graph), ": ", message)};
  }

  void check_ports(const EngineSpec& spec, OrtSession& session, bool inputs) {
    const OrtApi& api = library_->api;
    const std::vector<Port>& ports = inputs ? spec.inputs : spec.outputs;
    const std::string_view kind = inputs ? "input" : "output";
    std::size_t count = 0;
    check(api, inputs ? api.SessionGetInputCount(&session, &count) : api.SessionGetOutputCount(&session, &count), 4008);
    if (count != ports.size()) {
      throw Error{4008, cat("the ONNX file of graph ", quote(spec.graph), " has ", count, " ", kind, "s"),
                  cat(ports.size(), ", as the manifest declares"), "build the bundle again"};
    }
    for (std::size_t i = 0; i < count; ++i) {
      const std::string name = port_name(session, i, inputs);
      const auto port = std::find_if(ports.begin(), ports.end(), [&](const Port& each) { return each.name == name; });
      if (port == ports.end()) {
        throw Error{4008, cat("the ONNX file of graph ", quote(spec.graph), " has the ", kind, " ", quote(name)),
                    "the ports that the manifest declares", "build the bundle again"};
      }
      check_port(spec, *port, session, i, inputs);
    }
  }

  std::string port_name(OrtSession& session, std::size_t i, bool inputs) {
    const OrtApi& api = library_->api;
    OrtAllocator* allocator = nullptr;
    check(api, api.GetAllocatorWithDefaultOptions(&allocator), 4008);
    char* raw = nullptr;
    check(api,
          inputs ? api.SessionGetInputName(&session, i, allocator, &raw)
                 : api.SessionGetOutputName(&session, i, allocator, &raw),
          4008);
    const auto give_back = [allocator](char* text) { allocator->Free(allocator, text); };
    const std::unique_ptr<char, decltype(give_back)> held(raw, give_back);
    return raw;
  }

  void check_port(const EngineSpec& spec, const Port& port, OrtSession& session, std::size_t i, bool inputs) {
    const OrtApi& api = library_->api;
    OrtTypeInfo* raw = nullptr;
    check(api,
          inputs ? api.SessionGetInputTypeInfo(&session, i, &raw) : api.SessionGetOutputTypeInfo(&session, i, &raw),
          4008);
    const Held<OrtTypeInfo> held(raw, api.ReleaseTypeInfo);
    const OrtTensorTypeAndShapeInfo* info = nullptr;
    check(api, api.CastTypeInfoToTensorInfo(raw, &info), 4008);
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    std::size_t rank = 0;
    if (info != nullptr) {
      check(api, api.GetTensorElementType(info, &type), 4008);
      check(api, api.GetDimensionsCount(info, &rank), 4008);
    }
    Shape shape(rank);
    if (rank != 0) check(api, api.GetDimensions(info, shape.data(), rank), 4008);
    if (port.rows && rank != 0 && shape[0] < 0) shape[0] = port.shape[0];
    if (type != element_type(port.dtype) || shape != port.shape) {
      throw Error{4008,
                  cat("port ", quote(port.name), " of the ONNX file of graph ", quote(spec.graph), " has shape ",
                      shape_text(shape), " and ONNX type ", static_cast<int>(type)),
                  cat(dtype_name(port.dtype), " ", shape_text(port.shape), port.rows ? " with a free axis 0" : ""),
                  "build the bundle again"};
    }
  }

  std::shared_ptr<Library> library_;
  OnnxRuntimeOptions options_;
  std::unique_ptr<Memory> memory_;
};

}  // namespace

std::shared_ptr<Backend> open_onnxruntime(const json::Value& options) {
  OnnxRuntimeOptions read = OnnxRuntimeOptions::read(options);
  const OrtApi& api = load_api();
  const bool on_gpu = read.provider == "cuda";
  if (on_gpu) check_provider(api);
  const auto library = std::make_shared<Library>(api);
  check(api, api.CreateEnv(ORT_LOGGING_LEVEL_ERROR, "v2v", &library->env), 4002);
  std::unique_ptr<Memory> memory;
  if (on_gpu) {
    const auto device = static_cast<int>(read.device);
    library->cuda = open_cuda(device);
    check(api, api.CreateMemoryInfo("Cuda", OrtDeviceAllocator, device, OrtMemTypeDefault, &library->memory_info),
          4002);
    memory = std::make_unique<CudaMemory>(library->cuda);
  } else {
    check(api, api.CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &library->memory_info), 4002);
    memory = std::make_unique<HostMemory>();
  }
  return std::make_shared<OrtBackend>(library, std::move(read), std::move(memory));
}

}  // namespace v2v_core
