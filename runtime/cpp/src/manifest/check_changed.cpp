// Limits of params; calls that run when params change, and the slots that they derive.
#include <algorithm>

#include "manifest/scope.hpp"

namespace v2v_core::rules {
namespace {

using Names = std::set<std::string, std::less<>>;

Names derived_slots(std::span<const Scope> scopes) {
  Names derived;
  for (const Scope& scope : scopes) {
    for (const Call& call : scope.phase.calls) {
      if (!std::holds_alternative<Changed>(call.when)) continue;
      each_write(call, [&](const auto&, const Binding& binding) {
        if (scope.kind(binding.name) == Kind::slot) derived.insert(binding.name);
      });
    }
  }
  return derived;
}

void check_reads(const Scope& scope, std::size_t position, const Names& derived, const Map<std::size_t>& last) {
  each_read(scope.phase.calls[position], [&](const std::string& key, const std::string& name) {
    if (!derived.contains(name)) return;
    const auto writer = last.find(name);
    if (writer == last.end() || writer->second >= position) {
      fail(2072, cat(scope.call_path(position), ".", key),
           cat("slot ", quote(name), " is derived from params, and no call before this one brings it up to date"),
           "the calls that derive it first, in every phase that reads it");
    }
  });
}

// `params_of`: derived slot -> params that decide it, as far as the calls read so far have written it.
void check_call(const Scope& scope, const Call& call, const std::vector<std::string>& changed,
                const Map<Names>& params_of, const std::string& path) {
  const Program& program = scope.program();
  for (std::size_t i = 0; i < changed.size(); ++i) {
    const std::string where = cat(path, ".when.changed[", i, "]");
    if (!program.params.contains(changed[i])) fail(2044, where, "there is no param " + quote(changed[i]));
    const auto end = changed.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::find(changed.begin(), end, changed[i]) != end) {
      fail(2071, where, quote(changed[i]) + " twice", "each param once");
    }
  }
  if (call.late) fail(2071, path + ".late", "a late call", "a call before those that read what it derives");
  if (call.rows) fail(2071, path + ".rows", "a call on rows", "a call on the whole");
  each_read(call, [&](const std::string& key, const std::string& name) {
    const Kind kind = scope.kind(name);
    Names needs;
    if (kind == Kind::param) {
      needs.insert(name);
    } else if (const auto found = params_of.find(name); found != params_of.end()) {
      needs = found->second;
    }
    if (kind != Kind::param && kind != Kind::constant && needs.empty()) {
      fail(2071, cat(path, ".", key), cat(quote(name), " is ", a_kind(kind)), "params, consts and derived slots alone");
    }
    for (const std::string& need : needs) {
      if (!has(changed, need)) {
        fail(2071, path + ".when.changed",
             cat(quote(call.name), " reads ", quote(name), ", which changes with ", quote(need)),
             "every param that the call depends on", "add " + quote(need));
      }
    }
  });
  each_write(call, [&](const std::string& port, const Binding& binding) {
    const std::string where = cat(path, ".outputs.", port);
    if (scope.kind(binding.name) != Kind::slot) {
      fail(2071, where, cat(quote(binding.name), " is ", a_kind(scope.kind(binding.name))),
           "slots, views of them, or null");
    }
    if (program.slots.find(binding.name)->second.ring && !binding.view) {
      fail(2071, where, quote(binding.name) + " is a ring", "a slot that is no ring");
    }
  });
}

void check_scope(const Scope& scope, const Names& derived) {
  Map<std::size_t> last;
  Map<Names> params_of;
  for (std::size_t i = 0; i < scope.phase.calls.size(); ++i) {
    each_write(scope.phase.calls[i], [&](const auto&, const Binding& binding) {
      if (derived.contains(binding.name)) last.insert_or_assign(binding.name, i);
    });
  }
  for (std::size_t i = 0; i < scope.phase.calls.size(); ++i) {
    const Call& call = scope.phase.calls[i];
    const std::string path = scope.call_path(i);
    check_reads(scope, i, derived, last);
    if (const auto* when = std::get_if<Changed>(&call.when)) {
      check_call(scope, call, when->changed, params_of, path);
      each_write(call, [&](const auto&, const Binding& binding) {
        params_of[binding.name].insert(when->changed.begin(), when->changed.end());
      });
      continue;
    }
    each_write(call, [&](const std::string& port, const Binding& binding) {
      if (derived.contains(binding.name)) {
        fail(2072, cat(path, ".outputs.", port),
             cat(quote(call.name), " writes ", quote(binding.name), ", which is derived from params"),
             "derived slots are written by calls with when: changed alone");
      }
    });
  }
}

}  // namespace

void check_limits(const Program& program) {
  for (const auto& [name, param] : program.params) {
    if (!param.limits) continue;
    const auto [low, high] = *param.limits;
    const std::string path = cat("program.params.", name, ".limits");
    const DType dtype = param.spec.dtype;
    if (dtype == DType::boolean) fail(2053, path, "limits of a bool", "none", "leave them out");
    if (low > high) fail(2053, path, cat(low, " to ", high), "low at most high");
    const Limits most = dtype == DType::uint8   ? Limits{0, 255}
                        : dtype == DType::int32 ? Limits{-(std::int64_t{1} << 31), (std::int64_t{1} << 31) - 1}
                                                : *param.limits;
    if (low < most.low || high > most.high) {
      fail(2053, path, cat(low, " to ", high),
           cat("within ", most.low, " to ", most.high, " (", dtype_name(dtype), ")"));
    }
  }
}

void check_changed(std::span<const Scope> scopes) {
  const Names derived = derived_slots(scopes);
  for (const Scope& scope : scopes) check_scope(scope, derived);
}

}  // namespace v2v_core::rules
