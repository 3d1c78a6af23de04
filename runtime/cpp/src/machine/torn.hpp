// What failed steps may have left half written: slots that their calls overwrite in place. As v2v_runtime/torn.py.
//
// A step that fails leaves all other state as it was. Of what it overwrites in place it does not depend, so it can be
// tried again; a phase that reads those slots must not be entered before it has succeeded.
#pragma once

#include <string>
#include <vector>

#include "machine/runner.hpp"
#include "machine/session.hpp"

namespace v2v_core {

class Torn {
 public:
  // For each phase, which of the program's slots (in the order of their names) a failed step of it has torn.
  using Slots = std::vector<std::vector<bool>>;

  explicit Torn(const Session& session);

  // A step of a phase failed; `progress` says which calls had begun. Takes no memory.
  void fail(std::size_t phase, const Progress& progress);
  void mend(std::size_t phase) { forget(slots_[phase]); }  // a step of it came to its end
  void clear();                                            // all slots are whole: they were reset
  // Throws Error V2V-E3032: the phase that is to be entered, or one that follows it, would read what is torn.
  void refuse(std::size_t phase) const;

  const Slots& slots() const { return slots_; }
  void restore(const Slots& slots) { slots_ = slots; }

 private:
  static void forget(std::vector<bool>& slots) { slots.assign(slots.size(), false); }

  const Program& program_;
  std::vector<std::string> names_;                            // of the slots
  std::vector<std::vector<std::vector<std::size_t>>> wrote_;  // phase, call -> slots that it writes in place
  Slots slots_;
};

}  // namespace v2v_core
