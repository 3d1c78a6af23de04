// What the machine runs: steps resolved to tensors. A phase has one StepPlan per set of calls that can run together
// (the schedules decide which). A plan's calls name physical tensors, or several of them and the cell that chooses.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "machine/backend.hpp"
#include "machine/counters.hpp"
#include "machine/session.hpp"
#include "machine/state.hpp"

namespace v2v_core {

// One tensor, or the one of several that `cell->index ^ flip` chooses.
struct Operand {
  std::vector<TensorPtr> tensors;
  const Cell* cell = nullptr;
  std::uint32_t flip = 0;

  const TensorPtr& now() const { return cell == nullptr ? tensors[0] : tensors[cell->index ^ flip]; }
};

// A port's operand; `rows`: only the leading rows of it, as many as the bucket.
struct PortOperand {
  std::string port;
  const Operand* operand;
  bool rows;
};

struct RowsPlan {
  TensorPtr count;
  std::vector<std::int64_t> buckets;
  bool skip_at_zero;
};

// The cells' indexes at some moment, and the bucket last: what says which physical tensors a run uses.
using Key = std::vector<std::uint32_t>;

// One call over fixed operands, with its bound runs: one for each key that it has met, 1024 at most. Past that the run
// that was bound longest ago is bound anew, which allocates nothing.
class CallPlan {
 public:
  CallPlan(const std::string& phase, const Call& call, std::vector<PortOperand> inputs,
           std::vector<PortOperand> outputs, std::optional<RowsPlan> rows, Session& session);

  const std::string& name() const { return call_.name; }
  const std::string& full_name() const { return full_name_; }  // phase/call
  const std::optional<RowsPlan>& rows() const { return rows_; }

  void key(Key& key) const;  // the cells' indexes now
  // The bound run for a key, whose last entry is made to hold the bucket (0: on the whole).
  Run& run(Key& key, std::int64_t bucket, Counters& counters);
  void unbind();

 private:
  // By key, and in the order in which they were bound.
  struct Bound;
  using Runs = std::map<Key, std::list<Bound>::iterator>;
  struct Bound {
    Runs::iterator place;
    std::unique_ptr<Run> run;
  };

  void choose(const std::vector<PortOperand>& ports, const Key& key, std::vector<BoundPort>& tensors);
  const TensorPtr& leading(const TensorPtr& tensor, std::int64_t rows);
  Run& bind(const Key& key);
  Run& rebind_oldest(const Key& key);

  const Call& call_;
  std::string full_name_;
  std::vector<PortOperand> inputs_;
  std::vector<PortOperand> outputs_;
  std::optional<RowsPlan> rows_;
  std::vector<const Cell*> cells_;
  std::vector<BoundPort> chosen_inputs_;  // what is being bound
  std::vector<BoundPort> chosen_outputs_;
  std::map<std::pair<const Tensor*, std::int64_t>, TensorPtr> leading_;  // (tensor, rows) -> view
  Runs runs_;
  std::list<Bound> bound_;  // the oldest first
  Session& session_;
};

// A device copy. `deferred`: after the late calls, because one of them reads what it overwrites.
struct Copy {
  const Operand* target;
  const Operand* source;
  bool deferred = false;
};

// What makes the writes of one call the slots' values.
struct Commit {
  std::vector<SlotState*> swaps;
  std::vector<Copy> copies;
  std::vector<RingState*> rings;
};

// An all-finite flag: its place among the phase's flags, and the port it comes from.
struct Flag {
  std::size_t index;
  std::string port;
};

// A call within one plan.
struct StepCall {
  CallPlan* plan;
  std::size_t position;       // in the phase's list of calls
  std::vector<Copy> prepare;  // copies made before it runs
  std::vector<Copy> finish;   // and after
  Commit commit;
  std::vector<Flag> flags;
};

// The flag is read once `main[after]` has run; `frame` is what is emitted again.
struct SkipPlan {
  std::size_t after;
  TensorPtr flag;
  const Operand* frame;
};

// One set of calls of a phase: those before the frames are handed over, in order, and those after.
struct StepPlan {
  std::vector<StepCall> main;
  std::vector<StepCall> late;
  std::optional<SkipPlan> skip;
  const Operand* emit = nullptr;  // uint8 [E, H, W, 3]
};

}  // namespace v2v_core
