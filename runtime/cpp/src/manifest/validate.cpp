// Checks what types cannot say, in the order of v2v_runtime/manifest/validate.
#include <algorithm>

#include "manifest/scope.hpp"

namespace v2v_core {
namespace {

using namespace rules;

void check_one_stream(const Program& program) {
  const auto check = [](std::string_view key, std::size_t count) {
    if (count != 1) {
      fail(2042, cat("program.", key), cat(count, " ", key), "exactly one in version 1",
           "play several bundles side by side for several videos");
    }
  };
  check("inputs", program.inputs.size());
  check("outputs", program.outputs.size());
}

void check_graphs(const Map<Graph>& graphs) {
  for (const auto& [name, graph] : graphs) {
    for (const auto& [port, spec] : graph.inputs) check_size(spec, cat("graphs.", name, ".inputs.", port));
    for (const auto& [port, spec] : graph.outputs) {
      const std::string where = cat("graphs.", name, ".outputs.", port);
      check_size(spec, where);
      if (graph.inputs.contains(port)) fail(2040, where, quote(port) + " is an input too", "ports of different names");
    }
  }
}

}  // namespace

void validate(const Manifest& manifest) {
  const Program& program = manifest.program;
  check_one_stream(program);
  check_files(manifest);
  check_variants(manifest);
  check_selftest(manifest);
  check_graphs(manifest.graphs);
  const Map<Declared> declared = declare(manifest);
  check_limits(program);
  check_phase_order(program);
  std::vector<Scope> scopes;
  scopes.reserve(program.phases.size());
  for (std::size_t i = 0; i < program.phases.size(); ++i) scopes.push_back(bind_phase(manifest, i, declared));
  for (const Scope& scope : scopes) {
    check_calls(scope);
    check_schedule(scope);
  }
  check_changed(scopes);
  check_overrides(manifest, scopes);
  std::int64_t most = 0;
  for (const Scope& scope : scopes) most = std::max(most, check_emission(scope));
  if (program.max_frames != most) {
    fail(2078, "program.max_frames", std::to_string(program.max_frames),
         cat(most, ": the most frames that one step hands over"));
  }
  check_usage(manifest, scopes);
}

}  // namespace v2v_core
