// Turns a phase of the program into step plans over one stream's tensors.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "machine/plan.hpp"

namespace v2v_core {

// One output bound to a slot: `length` entries from `start` by the call at `position`.
struct Write {
  std::size_t position;
  std::string port;
  std::int64_t start;
  std::int64_t length;
  bool in_place;
  bool conditional;
};

// A set of calls of a phase, by position.
using Active = std::vector<bool>;

// Makes and keeps the step plans of one phase.
class Planner {
 public:
  Planner(const Phase& phase, Session& session, State& state);

  const Phase& phase() const { return phase_; }
  Scalars* flags() const { return packs_[0].get(); }
  Scalars* late_flags() const { return packs_[1].get(); }

  // Makes the plans of one period, so that nothing is allocated while the stream plays.
  void prepare();
  // Adds the calls that the schedules run in a step; `changed` ones are left out.
  void schedule(std::int64_t step, Active& active) const;
  const StepPlan& plan(const Active& active);
  void unbind();
  std::int64_t frames_made();
  // The calls that run when a param has changed: position -> params.
  const std::map<std::size_t, std::vector<std::string>>& changed() const { return changed_; }

  // For PlanBuilder:
  State& state() const { return state_; }
  std::size_t position_of(const std::string& tensor) const;
  std::vector<Write> writes(const std::string& name, const Active& active) const;
  bool is_derived(const std::string& name) const { return derived_.contains(name); }
  bool covers(const std::string& name, const std::vector<Write>& writes) const;
  bool reachable(const Operand& operand) const;
  TensorPtr temporary(const std::string& name) const;
  const Operand* slot_value(const std::string& name, const std::optional<View>& part, std::uint32_t flip);
  const Operand* entry(const std::string& name);  // of a ring, that is written next
  const Operand* staging(const Call& call, const std::string& port);
  const Operand* fetched(const Call& call, const std::string& port);
  const Operand* made(const Call& call, const std::string& port, const Binding* binding);
  const Operand* named(const std::string& name, const std::optional<View>& part);
  Flag flag(const Call& call, const std::string& port) const;
  CallPlan* call_plan(std::size_t position, std::vector<PortOperand> inputs, std::vector<PortOperand> outputs);

 private:
  template <class Make>
  const Operand* operand(const std::string& key, const Make& make);
  TensorPtr new_temporary(const TensorSpec& spec);
  std::vector<Write> writes_of(const std::string& name) const;
  void make_flags();

  const Phase& phase_;
  Session& session_;
  State& state_;
  Map<std::unique_ptr<Operand>> operands_;
  Map<TensorPtr> temps_;
  std::map<std::vector<std::uintptr_t>, std::unique_ptr<CallPlan>> calls_;
  std::map<Active, std::unique_ptr<StepPlan>> plans_;
  Map<std::vector<Write>> writes_;
  std::set<std::string, std::less<>> derived_;
  std::unique_ptr<Scalars> packs_[2];
  std::map<std::pair<std::string, std::string>, std::size_t> flag_index_;  // (call, port)
  std::map<std::size_t, std::vector<std::string>> changed_;
};

// Builds the plan of one set of calls.
StepPlan build_plan(Planner& planner, const Active& active);

}  // namespace v2v_core
