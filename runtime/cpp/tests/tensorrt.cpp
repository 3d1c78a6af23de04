// The TensorRT backend over stand-ins for TensorRT and for the CUDA runtime library:
//   v2v_tensorrt script CUDART < SCRIPT   does what the script says; prints {"calls", "error"}
//   v2v_tensorrt play BUNDLE CUDART STEPS [OPTIONS]
//                                          the target of the bundle whose engines are its ONNX files; see clip.hpp
//   v2v_tensorrt open OPTIONS              opens the backend as a stream does, with the libraries that the loader finds
//   v2v_tensorrt load PLAN CUDART          loads a plan by the real library, where this program was built with it
// An error goes to the standard error, with status 1.
#include "backends/tensorrt.hpp"

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>

#include "backends/onnxruntime.hpp"
#include "clip.hpp"
#include "sdk_standin.hpp"
#include "sha256.hpp"

namespace {

using v2v_core::json::Value;

std::string read_all(std::istream& from) {
  return {std::istreambuf_iterator<char>(from), std::istreambuf_iterator<char>()};
}

std::shared_ptr<v2v_core::CudaRuntime> open_standin(const char* library) {
  return std::make_shared<v2v_core::CudaRuntime>(0, std::initializer_list<const char*>{library});
}

v2v_core::DType dtype(const std::string& name) {
  for (const auto each : {v2v_core::DType::boolean, v2v_core::DType::uint8, v2v_core::DType::int32,
                          v2v_core::DType::int64, v2v_core::DType::float16, v2v_core::DType::float32}) {
    if (v2v_core::dtype_name(each) == name) return each;
  }
  throw v2v_core::Error{3105, "no such type: " + name};
}

v2v_core::Shape shape(const Value& value) {
  v2v_core::Shape found;
  for (const Value& size : *value.array()) found.push_back(*size.integer());
  return found;
}

// [[name, dtype, shape, rows], ...]
std::vector<v2v_core::Port> ports(const Value& value) {
  std::vector<v2v_core::Port> found;
  for (const Value& each : *value.array()) {
    const auto& port = *each.array();
    found.push_back({*port[0].string(), dtype(*port[1].string()), shape(port[2]), port[3] == Value(true)});
  }
  return found;
}

// One engine and the runs that the script binds.
class Script {
 public:
  Script(const Value& script, const char* cudart)
      : cuda_(open_standin(cudart)), library_(std::make_shared<v2v_test::StandInLibrary>(cuda_)) {
    library_->next.bytes = *script.find("plan")->string();
    // [[name, is input, dtype or null, shape], ...]
    for (const Value& each : *script.find("tensors")->array()) {
      const auto& tensor = *each.array();
      library_->next.tensors.push_back({*tensor[0].string(), tensor[1] == Value(true),
                                        tensor[2].is_null() ? std::nullopt : std::optional(dtype(*tensor[2].string())),
                                        shape(tensor[3])});
    }
    spec_.graph = "full";
    spec_.inputs = ports(*script.find("inputs"));
    spec_.outputs = ports(*script.find("outputs"));
    spec_.buckets = shape(*script.find("buckets"));
    library_->next.spec = spec_;
    const Value& engine = *script.find("engine");
    if (!engine.is_null()) spec_.engine = [bytes = *engine.string()] { return bytes; };
    backend_ = v2v_core::make_tensorrt(library_, v2v_core::TensorRtOptions::read(*script.find("options")),
                                       {"a GPU", "8.9", 13000}, cuda_);
  }

  v2v_test::Ledger& ledger() { return library_->ledger; }

  // ["load"], ["tensor", name, dtype, shape], ["view", name, of, rows], ["bind", {port: tensor}, {port: tensor}],
  // ["rebind", i, {port: tensor}, {port: tensor}], ["run", i], ["drop", i], ["refuse", function], ["forget"]
  void act(const v2v_core::json::Array& words) {
    const std::string& verb = *words[0].string();
    if (verb == "load") {
      engine_ = backend_->load(spec_);
    } else if (verb == "tensor") {
      keep(*words[1].string(), backend_->memory().allocate(dtype(*words[2].string()), shape(words[3])));
    } else if (verb == "view") {
      keep(*words[1].string(), v2v_core::view(tensors_.at(*words[2].string()), 0, *words[3].integer()));
    } else if (verb == "bind") {
      runs_.push_back(engine_->bind(bound(words[1]), bound(words[2])));
    } else if (verb == "rebind") {
      runs_[static_cast<std::size_t>(*words[1].integer())]->rebind(bound(words[2]), bound(words[3]));
    } else if (verb == "run") {
      (*runs_[static_cast<std::size_t>(*words[1].integer())])();
    } else if (verb == "drop") {
      runs_[static_cast<std::size_t>(*words[1].integer())].reset();
    } else if (verb == "refuse") {
      ledger().refuse = *words[1].string();
    } else if (verb == "forget") {
      ledger().calls.clear();
    } else {
      throw v2v_core::Error{3105, "no such verb: " + verb};
    }
  }

 private:
  void keep(const std::string& name, v2v_core::TensorPtr tensor) {
    ledger().names.insert_or_assign(tensor->address, name);
    tensors_.insert_or_assign(name, std::move(tensor));
  }

  std::vector<v2v_core::BoundPort> bound(const Value& named) {
    std::vector<v2v_core::BoundPort> found;
    for (const auto& [port, tensor] : *named.object()) found.push_back({port, tensors_.at(*tensor.string())});
    return found;
  }

  std::shared_ptr<v2v_core::CudaRuntime> cuda_;
  std::shared_ptr<v2v_test::StandInLibrary> library_;
  v2v_core::EngineSpec spec_;
  std::shared_ptr<v2v_core::Backend> backend_;
  std::map<std::string, v2v_core::TensorPtr> tensors_;
  std::unique_ptr<v2v_core::Engine> engine_;
  std::vector<std::unique_ptr<v2v_core::Run>> runs_;
};

int script(const char* cudart) {
  const Value given = v2v_core::json::parse(read_all(std::cin));
  Script player(given, cudart);
  Value error;
  try {
    for (const Value& each : *given.find("do")->array()) player.act(*each.array());
  } catch (const v2v_core::Error& found) {
    error = found.message();
  }
  std::cout << v2v_core::json::dump(v2v_core::json::Object{{"calls", player.ledger().calls}, {"error", error}}) << '\n';
  return 0;
}

// The backend under test, whose stand-in runs each engine by ONNX Runtime.
class PlayedBackend final : public v2v_core::Backend {
 public:
  PlayedBackend(std::shared_ptr<v2v_core::Backend> cpu, std::shared_ptr<v2v_test::StandInLibrary> library,
                std::shared_ptr<v2v_core::Backend> tested)
      : cpu_(std::move(cpu)), library_(std::move(library)), tested_(std::move(tested)) {}

  v2v_core::Memory& memory() override { return tested_->memory(); }

  std::unique_ptr<v2v_core::Engine> load(const v2v_core::EngineSpec& spec) override {
    v2v_test::Plan plan{spec.engine(), {}, spec, cpu_->load(spec)};
    for (const bool input : {true, false}) {
      for (const v2v_core::Port& port : input ? spec.inputs : spec.outputs) {
        plan.tensors.push_back({port.name, input, port.dtype, port.shape});
        if (port.rows) plan.tensors.back().shape.front() = -1;
      }
    }
    library_->next = std::move(plan);
    return tested_->load(spec);
  }

 private:
  std::shared_ptr<v2v_core::Backend> cpu_;
  std::shared_ptr<v2v_test::StandInLibrary> library_;
  std::shared_ptr<v2v_core::Backend> tested_;
};

int play(const std::string& path, const char* cudart, int steps, const char* given) {
  const auto bundle = v2v_core::Bundle::open(path, true);
  const v2v_core::Target target = bundle->target(std::nullopt);
  const Value options = v2v_core::session_options(*bundle, target, v2v_core::json::parse(given));
  const auto cpu = v2v_core::open_onnxruntime(v2v_core::json::parse(R"({"threads": 1})"));
  const auto cuda = open_standin(cudart);
  const auto library = std::make_shared<v2v_test::StandInLibrary>(cuda);
  const auto tested =
      v2v_core::make_tensorrt(library, v2v_core::TensorRtOptions::read(options), {"a GPU", "8.9", 13000}, cuda);
  const auto backend = std::make_shared<PlayedBackend>(cpu, library, tested);
  const auto clip = [&](const auto&... what) {
    return v2v_test::play(std::make_shared<v2v_core::Session>(bundle, target.variant, what...), steps);
  };
  v2v_test::print_same(clip(backend, v2v_core::engine_readers(bundle, target)), clip(cpu));
  return 0;
}

int open(const char* options) {
  const auto load = [](const std::string& /*flavour*/) -> std::unique_ptr<v2v_core::trt::Library> {
    return std::make_unique<v2v_test::StandInLibrary>(nullptr);
  };
  v2v_core::open_tensorrt(v2v_core::json::parse(options), load);
  std::cout << "\"opened\"\n";
  return 0;
}

int load(const std::string& path, const char* cudart) {
#ifdef V2V_HAS_TENSORRT
  std::ifstream file(path, std::ios::binary);
  v2v_core::EngineSpec spec;
  spec.graph = "full";
  spec.engine = [plan = read_all(file)] { return plan; };
  const Value trusted = v2v_core::json::Object{{"trust", v2v_core::sha256_hex(spec.engine())}};
  const auto backend =
      v2v_core::make_tensorrt(v2v_core::trt::open_library("rtx"), v2v_core::TensorRtOptions::read(trusted),
                              {"a GPU", "8.9", 13000}, open_standin(cudart));
  const auto engine = backend->load(spec);
  std::cout << "\"loaded\"\n";
  return 0;
#else
  throw v2v_core::Error{4002, v2v_core::cat("built without TENSORRT_ROOT: ", path, ", ", std::string(cudart))};
#endif
}

int run(int count, char** arguments) {
  const std::string mode = count > 1 ? arguments[1] : "";
  if (mode == "script" && count == 3) return script(arguments[2]);
  if (mode == "play" && (count == 5 || count == 6)) {
    return play(arguments[2], arguments[3], std::atoi(arguments[4]), count == 6 ? arguments[5] : "{}");
  }
  if (mode == "open" && count == 3) return open(arguments[2]);
  if (mode == "load" && count == 4) return load(arguments[2], arguments[3]);
  return 2;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return run(count, arguments);
  } catch (const v2v_core::Error& error) {
    std::cerr << error.message() << '\n';
    return 1;
  }
}
