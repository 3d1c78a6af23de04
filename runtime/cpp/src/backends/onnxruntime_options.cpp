#include "backends/onnxruntime_options.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "backends/options.hpp"
#include "error.hpp"

namespace v2v_core {
namespace {

constexpr std::string_view kBackend = "onnxruntime";
// In the order in which Python looks at their values.
constexpr std::array<std::string_view, 6> kNames{"provider", "optimization", "spin", "arena", "device", "threads"};

}  // namespace

OnnxRuntimeOptions OnnxRuntimeOptions::read(const json::Value& given) {
  check_options(kBackend, given, kNames);
  OnnxRuntimeOptions options;
  for (const std::string_view name : kNames) {
    const json::Value* found = given.find(name);
    if (found == nullptr) continue;
    const json::Value& value = *found;
    if (name == "provider") {
      const bool known = value == json::Value("cpu") || value == json::Value("cuda");
      if (!known) wrong_option(kBackend, name, value, "'cpu' or 'cuda'");
      options.provider = *value.string();
    } else if (name == "optimization") {
      constexpr std::array<std::string_view, 4> kLevels{"all", "extended", "basic", "none"};
      const bool known =
          value.string() != nullptr && std::find(kLevels.begin(), kLevels.end(), *value.string()) != kLevels.end();
      if (!known) wrong_option(kBackend, name, value, "one of all, extended, basic, none");
      options.optimization = *value.string();
    } else if (name == "spin" || name == "arena") {
      if (!value.boolean()) wrong_option(kBackend, name, value, "true or false");
      (name == "spin" ? options.spin : options.arena) = *value.boolean();
    } else {
      if (value.integer() == nullptr || *value.integer() < 0 || *value.integer() > 1024) {
        wrong_option(kBackend, name, value, "an integer from 0 to 1024");
      }
      (name == "device" ? options.device : options.threads) = *value.integer();
    }
  }
  return options;
}

}  // namespace v2v_core
