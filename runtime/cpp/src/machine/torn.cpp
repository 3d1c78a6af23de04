#include "machine/torn.hpp"

#include <algorithm>

#include "error.hpp"

namespace v2v_core {
namespace {

bool reads(const Phase& phase, const std::string& slot) {
  return std::any_of(phase.calls.begin(), phase.calls.end(), [&](const Call& call) {
    return std::any_of(call.inputs.begin(), call.inputs.end(),
                       [&](const auto& input) { return input.second.name == slot; });
  });
}

bool resets(const Phase& phase, const std::string& slot) {
  return std::find(phase.resets.begin(), phase.resets.end(), slot) != phase.resets.end();
}

}  // namespace

Torn::Torn(const Session& session) : program_(session.program()) {
  for (const auto& slot : program_.slots) names_.push_back(slot.first);
  for (const Phase& phase : program_.phases) {
    auto& calls = wrote_.emplace_back();
    for (const Call& call : phase.calls) {
      auto& slots = calls.emplace_back();
      for (const std::string& port : session.in_place(phase.name, call)) {
        const std::optional<Binding>& binding = call.outputs.find(port)->second;
        if (!binding) continue;
        const auto slot = std::lower_bound(names_.begin(), names_.end(), binding->name);
        slots.push_back(static_cast<std::size_t>(slot - names_.begin()));
      }
    }
    slots_.emplace_back(names_.size(), false);
  }
}

void Torn::fail(std::size_t phase, const Progress& progress) {
  const std::vector<Call>& calls = program_.phases[phase].calls;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const bool begun = std::any_of(progress.ran.begin(), progress.ran.end(),
                                   [&](const auto& ran) { return *ran.first == calls[i].name; });
    if (!begun) continue;
    for (const std::size_t slot : wrote_[phase][i]) slots_[phase][slot] = true;
  }
}

void Torn::clear() {
  for (std::vector<bool>& each : slots_) forget(each);
}

void Torn::refuse(std::size_t phase) const {
  Slots torn = slots_;
  for (std::size_t i = phase; i < program_.phases.size(); ++i) {
    const Phase& entered = program_.phases[i];
    forget(torn[i]);  // it is the one that was left, and tries again
    for (std::size_t failed = 0; failed < torn.size(); ++failed) {
      std::vector<std::size_t> found;
      for (std::size_t slot = 0; slot < names_.size(); ++slot) {
        if (resets(entered, names_[slot])) torn[failed][slot] = false;
        if (torn[failed][slot] && reads(entered, names_[slot])) found.push_back(slot);
      }
      if (found.empty()) continue;
      const std::string& name = program_.phases[failed].name;
      const std::string more = found.size() == 1 ? "" : cat(" and ", found.size() - 1, " more slots");
      throw Error{3032,
                  cat("phase ", quote(entered.name), " reads ", names_[found.front()], more,
                      ", of which a step of phase ", quote(name), " had overwritten a part when it failed"),
                  cat("a step of phase ", quote(name), " that comes to its end first"),
                  cat("enter ", quote(name), " again and push its frames, or reset")};
    }
  }
}

}  // namespace v2v_core
