// Builds one step plan: where each port of each call reads and writes, and what the commit does.
#include <algorithm>

#include "error.hpp"
#include "machine/planner.hpp"

namespace v2v_core {
namespace {

using Names = std::set<std::string, std::less<>>;

// What an output's port is bound to, the copies around the call, and what the commit does.
struct Written {
  const Operand* operand;
  std::vector<Copy> prepare = {};
  std::vector<Copy> finish = {};
  Commit commit = {};
};

class Builder {
 public:
  Builder(Planner& planner, const Active& active) : p_(planner), phase_(planner.phase()), active_(active) {
    if (phase_.skip) {
      const std::size_t maker = p_.position_of(phase_.skip->tensor);
      if (active[maker]) skip_after_ = static_cast<std::ptrdiff_t>(maker);
    }
    for (std::size_t i = 0; i < active.size(); ++i) {
      if (!active[i] || !phase_.calls[i].late) continue;
      for (const auto& [port, binding] : phase_.calls[i].inputs) late_reads_.insert(binding.name);
    }
  }

  StepPlan build() {
    StepPlan plan;
    for (const bool late : {false, true}) {
      for (std::size_t i = 0; i < active_.size(); ++i) {
        if (active_[i] && phase_.calls[i].late == late) (late ? plan.late : plan.main).push_back(step_call(i));
      }
    }
    if (phase_.skip && skip_after_ >= 0) {
      const auto is_maker = [&](const StepCall& call) {
        return static_cast<std::ptrdiff_t>(call.position) == skip_after_;
      };
      const auto after = std::find_if(plan.main.begin(), plan.main.end(), is_maker) - plan.main.begin();
      plan.skip = SkipPlan{static_cast<std::size_t>(after), p_.temporary(phase_.skip->tensor),
                           p_.slot_value(phase_.skip->frame, std::nullopt, 0)};
    }
    if (phase_.emit) plan.emit = read({phase_.emit->tensor, std::nullopt});
    return plan;
  }

 private:
  // 0: up to the skip, 1: after it, 2: late. Only writes of one segment commit together.
  int segment(std::size_t position) const {
    if (phase_.calls[position].late) return 2;
    return static_cast<std::ptrdiff_t>(position) > skip_after_ ? 1 : 0;
  }

  StepCall step_call(std::size_t position) {
    const Call& call = phase_.calls[position];
    const auto is_rows = [&](const std::string& port) {
      return call.rows && std::find(call.rows->ports.begin(), call.rows->ports.end(), port) != call.rows->ports.end();
    };
    StepCall made{};
    made.position = position;
    std::vector<PortOperand> inputs;
    std::vector<PortOperand> outputs;
    Names fresh;
    for (const auto& [port, source] : call.inputs) {
      const Operand* operand = read(source);
      if (!p_.reachable(*operand)) {
        const Operand* fetched = p_.fetched(call, port);
        made.prepare.push_back({fetched, operand});
        operand = fetched;
      }
      inputs.push_back({port, operand, is_rows(port)});
    }
    for (const auto& [port, binding] : call.outputs) {
      const Operand* operand = nullptr;
      if (binding && p_.state().slot(binding->name) != nullptr) {
        Written written = write(position, port, binding->name);
        operand = written.operand;
        made.prepare.insert(made.prepare.end(), written.prepare.begin(), written.prepare.end());
        made.finish.insert(made.finish.end(), written.finish.begin(), written.finish.end());
        const auto join = [](auto& all, const auto& more) { all.insert(all.end(), more.begin(), more.end()); };
        join(made.commit.swaps, written.commit.swaps);
        join(made.commit.copies, written.commit.copies);
        join(made.commit.rings, written.commit.rings);
        if (p_.is_derived(binding->name)) fresh.insert(binding->name);
      } else if (binding || std::find(call.check.begin(), call.check.end(), port) != call.check.end()) {
        operand = p_.made(call, port, binding ? &*binding : nullptr);
      } else {
        continue;
      }
      outputs.push_back({port, operand, is_rows(port)});
    }
    fresh_.merge(fresh);
    made.plan = p_.call_plan(position, std::move(inputs), std::move(outputs));
    for (const std::string& port : call.check) made.flags.push_back(p_.flag(call, port));
    return made;
  }

  const Operand* read(const Binding& binding) {
    if (p_.state().slot(binding.name) == nullptr) return p_.named(binding.name, binding.view);
    return p_.slot_value(binding.name, binding.view, fresh_.contains(binding.name) ? 1 : 0);
  }

  // Where an output that is bound to a slot goes.
  Written write(std::size_t position, const std::string& port, const std::string& name) {
    const Call& call = phase_.calls[position];
    SlotState& slot = *p_.state().slot(name);
    const std::vector<Write> writes = p_.writes(name, active_);
    const auto found = std::find_if(writes.begin(), writes.end(),
                                    [&](const Write& each) { return each.position == position && each.port == port; });
    const View range{found->start, found->length};
    const Operand* part = slot.ring ? p_.entry(name) : p_.slot_value(name, range, 0);
    std::vector<RingState*> rings;
    if (slot.ring) rings.push_back(slot.ring.get());
    if (found->in_place && p_.reachable(*part)) return {part, {}, {}, {{}, {}, rings}};
    const bool together = std::all_of(writes.begin(), writes.end(), [&](const Write& each) {
      return segment(each.position) == segment(writes.front().position);
    });
    const bool whole = together && p_.covers(name, writes);
    const bool derived = p_.is_derived(name);
    if (!whole && !derived) {
      const Operand* staged = p_.staging(call, port);
      const bool deferred = !call.late && late_reads_.contains(name);
      return {staged, {}, {}, {{}, {{part, staged, deferred}}, rings}};
    }
    // Later calls read a derived slot's back buffer: it must hold a whole value whatever is written.
    std::vector<Copy> prepare;
    if (derived && (!whole || found->conditional) && found == writes.begin()) {
      prepare.push_back({p_.slot_value(name, std::nullopt, 1), p_.slot_value(name, std::nullopt, 0)});
    }
    const Operand* back = p_.slot_value(name, range, 1);
    if (p_.reachable(*back)) return {back, prepare, {}, {{&slot}, {}, {}}};
    const Operand* staged = p_.staging(call, port);
    return {staged, prepare, {{back, staged}}, {{&slot}, {}, {}}};
  }

  Planner& p_;
  const Phase& phase_;
  const Active& active_;
  std::ptrdiff_t skip_after_ = -1;
  Names fresh_;  // slots with a new value that later calls of the step read already
  Names late_reads_;
};

}  // namespace

StepPlan build_plan(Planner& planner, const Active& active) { return Builder(planner, active).build(); }

}  // namespace v2v_core
