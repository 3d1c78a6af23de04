// Each call's ports against its graph and against what they are bound to.
#include "manifest/scope.hpp"

namespace v2v_core::rules {
namespace {

constexpr std::string_view kWritable = "a slot, a view of one, a new name, or null";

void check_call_names(const Scope& scope) {
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < scope.phase.calls.size(); ++i) {
    const std::string& name = scope.phase.calls[i].name;
    if (!seen.insert(name).second) {
      fail(2040, scope.call_path(i) + ".name", "two calls " + quote(name), "one per phase");
    }
  }
}

template <class Bound>
void check_ports(const std::string& path, std::string_view side, const std::string& graph, const Map<TensorSpec>& ports,
                 const Bound& bound) {
  for (const auto& [port, binding] : bound) {
    if (!ports.contains(port)) {
      fail(2045, cat(path, ".", side, ".", port), cat("graph ", quote(graph), " has no such port"));
    }
  }
  for (const auto& [port, spec] : ports) {
    if (!bound.contains(port)) {
      fail(2046, cat(path, ".", side), cat("port ", quote(port), " of ", quote(graph), " is not bound"), "",
           side == "inputs" ? "bind it" : "bind it, or bind it to null to throw it away");
    }
  }
}

const Graph& graph_of(const Manifest& manifest, const Call& call, const std::string& path) {
  const auto graph = manifest.graphs.find(call.graph);
  if (graph == manifest.graphs.end()) fail(2044, path + ".graph", "there is no graph " + quote(call.graph));
  check_ports(path, "inputs", call.graph, graph->second.inputs, call.inputs);
  check_ports(path, "outputs", call.graph, graph->second.outputs, call.outputs);
  return graph->second;
}

// Whether this output makes a temporary.
bool makes_temporary(const Scope& scope, const Binding& binding, const std::string& path) {
  const std::string& name = binding.name;
  if (is_builtin(name) || name.ends_with(".count")) {
    fail(2041, path, quote(name) + " is a counter that the machine moves", kWritable);
  }
  if (scope.names.contains(name) && !scope.makers.contains(name)) return false;
  if (binding.view) {
    if (scope.makers.contains(name)) fail(2047, path, "a view of the temporary " + quote(name), kWritable);
    fail(2044, path + ".name", "there is no slot " + quote(name));
  }
  return true;
}

// What is bound against the port. "float" equals "float" alone.
void check_equal(const TensorSpec& seen, const TensorSpec& port, const std::string& path) {
  if (seen.dtype != port.dtype) {
    fail(2050, path, cat(dtype_name(seen.dtype), " is bound"), cat(dtype_name(port.dtype), ", as the graph declares"));
  }
  if (seen.shape != port.shape) {
    fail(2051, path, shape_text(seen.shape) + " is bound", shape_text(port.shape) + ", as the graph declares");
  }
}

TensorSpec read_spec(const Scope& scope, const Binding& binding, const std::string& path) {
  const auto found = scope.names.find(binding.name);
  if (found == scope.names.end()) fail(2044, path, "nothing is called " + quote(binding.name));
  TensorSpec spec = found->second.spec;
  if (!binding.view) return spec;
  const auto& [start, length] = *binding.view;
  if (start + length > spec.shape[0]) {
    fail(2052, path, cat("entries ", start, " to ", start + length - 1, " of ", quote(binding.name)),
         cat("entries 0 to ", spec.shape[0] - 1));
  }
  spec.shape[0] = length;
  return spec;
}

void check_write(const Scope& scope, const Binding& binding, const TensorSpec& port, const std::string& path) {
  const Declared& found = scope.names.find(binding.name)->second;
  if (found.kind != Kind::slot) {
    fail(2047, path, cat(quote(binding.name), " is ", a_kind(found.kind)), kWritable);
  }
  if (!scope.program().slots.find(binding.name)->second.ring) {
    check_equal(read_spec(scope, binding, path), port, path);
    return;
  }
  if (binding.view) {
    fail(2070, path, "a view of the ring " + quote(binding.name),
         "the ring itself, which takes one entry at its own index", "bind " + quote(binding.name));
  }
  TensorSpec entry = found.spec;
  entry.shape[0] = 1;
  check_equal(entry, port, path);
}

}  // namespace

Scope bind_phase(const Manifest& manifest, std::size_t index, const Map<Declared>& declared) {
  const Phase& phase = manifest.program.phases[index];
  Scope scope{manifest, phase, cat("program.phases[", index, "]"), 0, {}, declared, {}};
  for (const auto& [name, frame] : manifest.program.inputs) {
    const TensorSpec spec{DType::uint8, {phase.gather, frame.height, frame.width, 3}};
    check_size(spec, scope.path + ".gather");
    scope.names.insert_or_assign(name, Declared{Kind::input, spec});
  }
  check_call_names(scope);
  step_masks(scope);
  for (std::size_t position = 0; position < phase.calls.size(); ++position) {
    const Call& call = phase.calls[position];
    const std::string where = scope.call_path(position);
    const Graph& graph = graph_of(manifest, call, where);
    each_write(call, [&](const std::string& port, const Binding& binding) {
      const std::string output = cat(where, ".outputs.", port);
      const TensorSpec& spec = graph.outputs.find(port)->second;
      if (!makes_temporary(scope, binding, output)) {
        check_write(scope, binding, spec, output);
        return;
      }
      const auto made = scope.names.emplace(binding.name, Declared{Kind::temporary, spec}).first;
      check_equal(made->second.spec, spec, output);
      scope.makers[binding.name].push_back(position);
    });
  }
  for (std::size_t position = 0; position < phase.calls.size(); ++position) {
    const Call& call = phase.calls[position];
    for (const auto& [port, binding] : call.inputs) {
      const std::string path = cat(scope.call_path(position), ".inputs.", port);
      check_equal(read_spec(scope, binding, path), scope.graph(call).inputs.find(port)->second, path);
    }
  }
  return scope;
}

}  // namespace v2v_core::rules
