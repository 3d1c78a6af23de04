// Check ports, row buckets, in-place ports: what a call may ask for besides its bindings.
#include <algorithm>

#include "manifest/scope.hpp"

namespace v2v_core::rules {
namespace {

[[noreturn]] void unknown_port(std::string_view path, const Call& call, std::string_view port) {
  fail(2045, path, cat("graph ", quote(call.graph), " has no port ", quote(port), " there"));
}

bool repeats(std::span<const std::string> list, std::size_t i) {
  return std::find(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(i), list[i]) !=
         list.begin() + static_cast<std::ptrdiff_t>(i);
}

void check_flags(const Scope& scope, const Call& call, const std::string& path) {
  const Map<TensorSpec>& outputs = scope.graph(call).outputs;
  for (std::size_t i = 0; i < call.check.size(); ++i) {
    const std::string& port = call.check[i];
    const std::string where = cat(path, ".check[", i, "]");
    const auto found = outputs.find(port);
    if (found == outputs.end()) unknown_port(where, call, port);
    if (repeats(call.check, i)) fail(2074, where, quote(port) + " twice", "each port once");
    if (found->second != TensorSpec{DType::boolean, {1}}) {
      fail(2074, where, cat(dtype_name(found->second.dtype), " ", shape_text(found->second.shape)), "bool [1]");
    }
    const Binding* binding = output_of(call, port);
    if (binding != nullptr && scope.kind(binding->name) == Kind::slot) {
      fail(2074, where, "bound to the slot " + quote(binding->name), "null or a temporary");
    }
  }
}

void check_rows(const Scope& scope, const Call& call, const Rows& rows, const std::string& path) {
  const Graph& graph = scope.graph(call);
  const auto count = scope.names.find(rows.count);
  if (count == scope.names.end()) fail(2044, path + ".rows.count", "nothing is called " + quote(rows.count));
  if (count->second.kind != Kind::temporary || count->second.spec != TensorSpec{DType::int32, {1}} ||
      scope.is_partial(rows.count)) {
    fail(2073, path + ".rows.count",
         cat(quote(rows.count), " is ", a_kind(count->second.kind), ", ", dtype_name(count->second.spec.dtype), " ",
             shape_text(count->second.spec.shape)),
         "a temporary of this step, int32 [1], always written");
  }
  check_buckets(rows.buckets, path + ".rows.buckets");
  for (std::size_t i = 0; i < rows.ports.size(); ++i) {
    const std::string& port = rows.ports[i];
    const std::string where = cat(path, ".rows.ports[", i, "]");
    const auto input = graph.inputs.find(port);
    const auto output = graph.outputs.find(port);
    if (input == graph.inputs.end() && output == graph.outputs.end()) unknown_port(where, call, port);
    if (repeats(rows.ports, i)) fail(2073, where, quote(port) + " twice", "each port once");
    const TensorSpec& spec = input == graph.inputs.end() ? output->second : input->second;
    if (spec.shape[0] != rows.buckets.back()) {
      fail(2073, where, cat("axis 0 of ", quote(port), " is ", spec.shape[0]),
           cat("the largest bucket, ", rows.buckets.back()));
    }
  }
  each_write(call, [&](const std::string& port, const Binding& binding) {
    const bool is_slot = scope.kind(binding.name) == Kind::slot;
    const bool is_rows = has(rows.ports, port);
    if (is_rows && is_slot) {
      fail(2073, cat(path, ".outputs.", port), "rows are written to the slot " + quote(binding.name),
           "a temporary: the rows past the bucket are not written, and a slot must be whole");
    }
    if (rows.skip_at_zero && !is_rows && !is_slot) {
      fail(2073, cat(path, ".outputs.", port),
           quote(binding.name) + " does not exist when the call is left out (at_zero: skip)",
           "null, a slot, or a port of the rows");
    }
  });
}

const std::string& in_place_slot(const Scope& scope, const Call& call, const std::string& port,
                                 const std::string& path) {
  if (!scope.graph(call).outputs.contains(port)) unknown_port(path, call, port);
  const Binding* binding = output_of(call, port);
  const auto& slots = scope.program().slots;
  const auto slot = binding == nullptr ? slots.end() : slots.find(binding->name);
  if (slot == slots.end() || (!slot->second.ring && !binding->view)) {
    fail(2075, path, cat(quote(port), " is bound to ", binding == nullptr ? "null" : binding->name),
         "a ring, or a view of a slot");
  }
  return binding->name;
}

}  // namespace

void check_calls(const Scope& scope) {
  for (std::size_t i = 0; i < scope.phase.calls.size(); ++i) {
    const Call& call = scope.phase.calls[i];
    check_flags(scope, call, scope.call_path(i));
    if (call.rows) check_rows(scope, call, *call.rows, scope.call_path(i));
  }
}

void check_buckets(std::span<const std::int64_t> buckets, std::string_view path) {
  if (std::adjacent_find(buckets.begin(), buckets.end(), std::greater_equal<>()) != buckets.end()) {
    fail(2073, path, shape_text({buckets.begin(), buckets.end()}), "strictly rising row counts");
  }
}

void check_in_place(const Scope& scope, const InPlace& in_place) {
  Map<std::vector<std::size_t>> readers;
  Map<std::vector<std::pair<std::size_t, std::string>>> writers;
  for (std::size_t i = 0; i < scope.phase.calls.size(); ++i) {
    each_read(scope.phase.calls[i], [&](const auto&, const std::string& name) { readers[name].push_back(i); });
    each_write(scope.phase.calls[i],
               [&](const std::string& port, const Binding& binding) { writers[binding.name].emplace_back(i, port); });
  }
  const auto is_in_place = [&](std::size_t position, const std::string& port) {
    const auto found = in_place.find(position);
    if (found == in_place.end()) return false;
    const auto ports = found->second.first;
    return std::find(ports.begin(), ports.end(), port) != ports.end();
  };
  for (const auto& [position, listed] : in_place) {
    const auto& [ports, path] = listed;
    for (std::size_t i = 0; i < ports.size(); ++i) {
      const std::string where = cat(path, "[", i, "]");
      if (repeats(ports, i)) fail(2075, where, quote(ports[i]) + " twice", "each port once");
      const Call& call = scope.phase.calls[position];
      const std::string& slot = in_place_slot(scope, call, ports[i], where);
      if (call.late) {
        fail(2075, where, quote(call.name) + " is late", "a call that is not late: a step that fails is tried again",
             "leave out in_place, or late");
      }
      for (const std::size_t later : readers[slot]) {
        if (later > position && scope.masks[later]->meets(*scope.masks[position])) {
          fail(2075, where,
               cat(quote(scope.phase.calls[later].name), " reads ", quote(slot), " after it was overwritten"),
               "no reader later in the step: a slot reads as it was when the step began");
        }
      }
      for (const auto& [other, port] : writers[slot]) {
        if (!is_in_place(other, port)) {
          fail(
              2075, where,
              cat(quote(scope.phase.calls[other].name), " writes ", quote(slot), " by ", quote(port), ", not in place"),
              "all of the phase's writes to one slot in place, or none");
        }
      }
    }
  }
}

}  // namespace v2v_core::rules
