// Slots without a starting value, and whether they hold one yet. As v2v_runtime/written.py.
//
// Where the phases, played in their own order, write a whole slot before any of them reads it, its init only fills
// memory. Entering a phase by hand is no way to read it: the phase that writes the slot must have run to its end.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "manifest/model.hpp"

namespace v2v_core {

class Written {
 public:
  // Of the program's slots, in the order of their names.
  using Slots = std::vector<bool>;

  explicit Written(const Program& program);

  // A phase has run `steps` steps: what it makes is whole after its last one, and not before. Takes no memory.
  void stepped(std::size_t phase, std::int64_t steps);
  // The slots that a phase resets when it is entered were set back to their init. Takes no memory.
  void forget_resets(std::size_t phase);
  // Throws Error V2V-E3033: the phase that is to be entered, or one that follows it, would read what nothing has
  // written.
  void refuse(std::size_t phase) const;
  void clear() { whole_.assign(whole_.size(), false); }  // every slot was set back to its init

  const Slots& slots() const { return whole_; }
  void restore(const Slots& slots) { whole_ = slots; }

 private:
  struct Flow {
    Slots reads;   // without having been written whole before
    Slots makes;   // written whole without such a read; none in the last phase, which has no end
    Slots resets;  // set back when the phase is entered
  };

  std::optional<std::size_t> index(const std::string& name) const;  // of a slot; none: it is another's name
  std::int64_t length(std::size_t slot) const { return program_.slots.find(names_[slot])->second.spec.shape.front(); }
  Slots exempt() const;
  Flow flow(const Phase& phase, const Slots& exempt) const;
  void throw_unwritten(std::size_t phase, const Slots& missing) const;

  const Program& program_;
  std::vector<std::string> names_;  // of the slots
  std::vector<Flow> flows_;         // of the phases; of reads, only slots without a starting value
  Slots whole_;
};

}  // namespace v2v_core
