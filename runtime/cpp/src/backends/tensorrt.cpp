#include "backends/tensorrt.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <mutex>
#include <utility>

#include "backends/options.hpp"
#include "backends/tensorrt_engine.hpp"
#include "error.hpp"
#include "sha256.hpp"

namespace v2v_core {
namespace {

constexpr std::string_view kBackend = "tensorrt";
// In the order in which Python looks at their values. `workspace_mib` is a build setting, recorded in the target.
constexpr std::array<std::string_view, 5> kNames{"flavour", "device", "trust", "compute_capability", "workspace_mib"};

std::vector<std::string> read_trust(std::string_view name, const json::Value& value) {
  if (value.string() != nullptr) return {*value.string()};
  if (value.array() == nullptr) wrong_option(kBackend, name, value, "hashes as texts");
  std::vector<std::string> hashes;
  for (const json::Value& each : *value.array()) {
    if (each.string() == nullptr) wrong_option(kBackend, name, value, "hashes as texts");
    hashes.push_back(*each.string());
  }
  return hashes;
}

class TensorRtBackend final : public Backend {
 public:
  TensorRtBackend(std::shared_ptr<trt::Library> library, TensorRtOptions options, Gpu gpu,
                  std::shared_ptr<CudaRuntime> cuda)
      : library_(std::move(library)),
        options_(std::move(options)),
        gpu_(std::move(gpu)),
        cuda_(std::move(cuda)),
        memory_(std::make_shared<CudaMemory>(cuda_)) {}

  Memory& memory() override { return *memory_; }

  // Throws Error: no engine (V2V-E4005), one that is not trusted (E4401), refused by TensorRT (E4405), or with other
  // ports than the manifest's (E4008).
  std::unique_ptr<Engine> load(const EngineSpec& spec) override {
    if (!spec.engine) {
      throw Error{4005, cat("graph ", quote(spec.graph), " has no engine in this target"), "one engine per graph",
                  "build the target again, or play the bundle with backend onnxruntime"};
    }
    const std::string plan = spec.engine();
    const std::string sha256 = sha256_hex(plan);
    require_trust(spec.graph, sha256);
    const std::lock_guard guard(loading_);  // or one graph's refusal would have another's words
    library_->words.clear();
    cuda_->select();
    std::unique_ptr<trt::Engine> engine = library_->deserialize(plan);
    if (!engine) {
      throw Error{4405,
                  cat("TensorRT ", library_->version(), " refuses the engine of graph ", quote(spec.graph), ": ",
                      library_->words.last()),
                  "an engine that was built by this version for this GPU", "build the bundle again here"};
    }
    trt::check_ports(*engine, spec);
    JitCache cache(cat(sha256, " ", library_->version(), " ", gpu_.name, " ", gpu_.driver));
    return trt::make_engine(library_, std::move(engine), spec, cuda_, memory_, std::move(cache));
  }

 private:
  void require_trust(const std::string& graph, const std::string& sha256) const {
    const auto& trusted = options_.trust;
    if (built_here(sha256) || std::find(trusted.begin(), trusted.end(), sha256) != trusted.end()) return;
    throw Error{4401, cat("the engine of graph ", quote(graph), " was not built here (sha256 ", sha256, ")"),
                "an engine of your own: one from elsewhere is native code of whoever built it",
                "build the bundle here; or, if you trust where it comes from, name that hash to --trust (in code: "
                "option trust), or the one in its target's target.sha256, which stands for all engines of the target"};
  }

  std::shared_ptr<trt::Library> library_;
  TensorRtOptions options_;
  Gpu gpu_;
  std::shared_ptr<CudaRuntime> cuda_;
  std::shared_ptr<CudaMemory> memory_;
  std::mutex loading_;
};

}  // namespace

TensorRtOptions TensorRtOptions::read(const json::Value& given) {
  constexpr std::array<std::string_view, 3> kFlavours{"rtx", "10", "11"};
  check_options(kBackend, given, kNames);
  TensorRtOptions options;
  for (const std::string_view name : kNames) {
    const json::Value* found = given.find(name);
    if (found == nullptr) continue;
    const json::Value& value = *found;
    if (name == "flavour") {
      const bool known = value.string() != nullptr &&
                         std::find(kFlavours.begin(), kFlavours.end(), *value.string()) != kFlavours.end();
      if (!known) wrong_option(kBackend, name, value, "one of rtx, 10, 11");
      options.flavour = *value.string();
    } else if (name == "compute_capability") {
      options.compute_capability = value;
    } else if (name == "device") {
      if (value.integer() == nullptr || *value.integer() < 0) wrong_option(kBackend, name, value, "an index from 0");
      options.device = static_cast<int>(std::min<std::int64_t>(*value.integer(), std::numeric_limits<int>::max()));
    } else if (name == "trust") {
      options.trust = read_trust(name, value);
    }
  }
  return options;
}

std::shared_ptr<Backend> make_tensorrt(std::shared_ptr<trt::Library> library, TensorRtOptions options, Gpu gpu,
                                       std::shared_ptr<CudaRuntime> cuda) {
  return std::make_shared<TensorRtBackend>(std::move(library), std::move(options), std::move(gpu), std::move(cuda));
}

std::shared_ptr<Backend> open_tensorrt(const json::Value& options,
                                       std::unique_ptr<trt::Library> (*load)(const std::string& flavour)) {
  TensorRtOptions read = TensorRtOptions::read(options);
  Gpu gpu = find_gpu(read.device);
  const json::Value& wanted = read.compute_capability;
  if (!wanted.is_null() && wanted != json::Value(gpu.capability)) {
    throw Error{4403, cat("GPU ", read.device, " is ", gpu.name, ", compute capability ", gpu.capability),
                cat("compute capability ", wanted.string() != nullptr ? *wanted.string() : json::dump(wanted),
                    ", for which this target was built"),
                "build the bundle for this GPU: `v2v-export build --gpu ...`"};
  }
  std::shared_ptr<trt::Library> library = load(read.flavour);
  std::shared_ptr<CudaRuntime> cuda = open_cuda(read.device);
  return make_tensorrt(std::move(library), std::move(read), std::move(gpu), std::move(cuda));
}

}  // namespace v2v_core
