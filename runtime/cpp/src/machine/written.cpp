#include "machine/written.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "error.hpp"

namespace v2v_core {
namespace {

// Entries [start, stop) of a slot, written in the step `first` of a phase and perhaps again later.
struct Write {
  std::int64_t first;
  std::int64_t start;
  std::int64_t stop;
};

// What a phase does with one slot.
struct Use {
  std::optional<std::int64_t> read;  // the first step that reads it
  std::vector<Write> writes;         // by calls that run whatever the frames show and cannot fail after the step
};

// The first step of its phase in which a call runs.
std::int64_t first_step(const Call& call) {
  const Every* every = std::get_if<Every>(&call.when);
  return every == nullptr ? 0 : every->at.front();
}

// Whether `rows` may leave a call out.
bool may_be_left_out(const Call& call) { return call.rows && call.rows->skip_at_zero; }

// The step whose end finds every entry written; none: no step does.
std::optional<std::int64_t> whole_at(std::vector<Write> writes, std::int64_t length) {
  std::sort(writes.begin(), writes.end(), [](const Write& a, const Write& b) { return a.start < b.start; });
  std::vector<std::int64_t> steps;
  steps.reserve(writes.size());
  for (const Write& write : writes) steps.push_back(write.first);
  std::sort(steps.begin(), steps.end());
  for (const std::int64_t step : steps) {
    std::int64_t end = 0;
    for (const Write& write : writes) {
      if (write.first <= step && write.start <= end) end = std::max(end, write.stop);
    }
    if (end >= length) return step;
  }
  return std::nullopt;
}

// a <- a and not b.
void take_away(std::vector<bool>& a, const std::vector<bool>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = a[i] && !b[i];
}

// a <- a or b.
void add(std::vector<bool>& a, const std::vector<bool>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = a[i] || b[i];
}

}  // namespace

Written::Written(const Program& program) : program_(program) {
  for (const auto& slot : program_.slots) names_.push_back(slot.first);
  whole_.assign(names_.size(), false);
  const Slots exempted = exempt();
  Slots made = whole_;
  Slots meant = whole_;  // slots whose init the program reads in its own order
  for (const Phase& phase : program_.phases) {
    const Flow& each = flows_.emplace_back(flow(phase, exempted));
    take_away(made, each.resets);
    Slots unmade = each.reads;
    take_away(unmade, made);
    add(meant, unmade);
    add(made, each.makes);
  }
  for (Flow& each : flows_) {
    take_away(each.reads, meant);
    take_away(each.makes, meant);
  }
}

std::optional<std::size_t> Written::index(const std::string& name) const {
  const auto found = std::lower_bound(names_.begin(), names_.end(), name);
  if (found == names_.end() || *found != name) return std::nullopt;
  return static_cast<std::size_t>(found - names_.begin());
}

// Derived slots, which each phase writes before it reads them, and rings, whose count says what was appended.
Written::Slots Written::exempt() const {
  Slots exempt(names_.size(), false);
  for (std::size_t i = 0; i < names_.size(); ++i) exempt[i] = program_.slots.find(names_[i])->second.ring.has_value();
  for (const Phase& phase : program_.phases) {
    for (const Call& call : phase.calls) {
      if (!std::holds_alternative<Changed>(call.when)) continue;
      for (const auto& [port, output] : call.outputs) {
        const std::optional<std::size_t> slot = output ? index(output->name) : std::nullopt;
        if (slot) exempt[*slot] = true;
      }
    }
  }
  return exempt;
}

Written::Flow Written::flow(const Phase& phase, const Slots& exempt) const {
  std::vector<Use> uses(names_.size());
  for (const Call& call : phase.calls) {
    const std::int64_t first = first_step(call);
    for (const auto& [port, input] : call.inputs) {
      if (const auto slot = index(input.name)) uses[*slot].read = std::min(uses[*slot].read.value_or(first), first);
    }
    if (call.late || may_be_left_out(call)) continue;
    for (const auto& [port, output] : call.outputs) {
      const std::optional<std::size_t> slot = output ? index(output->name) : std::nullopt;
      if (!slot) continue;
      const View part = output->view.value_or(View{0, length(*slot)});
      uses[*slot].writes.push_back({first, part.start, part.start + part.length});
    }
  }
  const Slots none(names_.size(), false);
  Flow flow{none, none, none};
  for (std::size_t i = 0; i < names_.size(); ++i) {
    flow.resets[i] = std::find(phase.resets.begin(), phase.resets.end(), names_[i]) != phase.resets.end();
    if (exempt[i]) continue;
    const std::optional<std::int64_t> whole = whole_at(std::move(uses[i].writes), length(i));
    const std::optional<std::int64_t> read = uses[i].read;
    if (read && (!whole || *read <= *whole)) {
      flow.reads[i] = true;
    } else {
      flow.makes[i] = whole && phase.steps;
    }
  }
  return flow;
}

void Written::stepped(std::size_t phase, std::int64_t steps) {
  if (program_.phases[phase].steps == steps) {
    add(whole_, flows_[phase].makes);
  } else {
    take_away(whole_, flows_[phase].makes);
  }
}

void Written::forget_resets(std::size_t phase) { take_away(whole_, flows_[phase].resets); }

void Written::refuse(std::size_t phase) const {
  Slots whole = whole_;
  for (std::size_t i = phase; i < flows_.size(); ++i) {
    take_away(whole, flows_[i].resets);
    Slots missing = flows_[i].reads;
    take_away(missing, whole);
    if (std::find(missing.begin(), missing.end(), true) != missing.end()) throw_unwritten(i, missing);
    add(whole, flows_[i].makes);
  }
}

void Written::throw_unwritten(std::size_t phase, const Slots& missing) const {
  const auto first = static_cast<std::size_t>(std::find(missing.begin(), missing.end(), true) - missing.begin());
  const auto more = std::count(missing.begin(), missing.end(), true) - 1;
  std::size_t maker = phase - 1;  // the program's own order has one
  while (!flows_[maker].makes[first]) --maker;
  const Phase& made_by = program_.phases[maker];
  const std::string reader = quote(program_.phases[phase].name);
  throw Error{3033,
              cat("phase ", reader, " reads ", names_[first], more == 0 ? "" : cat(" and ", more, " more slots"),
                  ", which phase ", quote(made_by.name), " has not written"),
              cat("a run of phase ", quote(made_by.name), " to its end since the start or the last reset"),
              cat("push the ", made_by.steps.value_or(0) * made_by.gather, " frames of ", quote(made_by.name),
                  " (enter it first where the stream is past it): ", reader, " follows by itself")};
}

}  // namespace v2v_core
