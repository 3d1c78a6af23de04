// The machine: plays the program's phases step by step over one stream's tensors. A step uploads the counters, runs its
// calls in order, reads their checks once, and commits. Until the commit nothing that a later step reads has changed,
// so a step that fails leaves the state as it was. What is late is started by `start_late` and committed by `settle`.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "error.hpp"
#include "machine/late.hpp"
#include "machine/planner.hpp"
#include "machine/runner.hpp"
#include "machine/torn.hpp"
#include "machine/trace.hpp"
#include "machine/written.hpp"

namespace v2v_core {

// What a step hands over: `count` frames of `tensor` from `first`; none where `count` is 0.
struct Output : Emitted {
  const Tensor* tensor = nullptr;
  std::int64_t first = 0;
  bool skipped = false;
};

// Told of late calls that failed where no call is left to fail for it.
using WarnSink = std::function<void(const Error& failure)>;

// Plays one stream. Not thread-safe.
class Machine {
  std::shared_ptr<Session> session_;  // first: it outlives every tensor

 public:
  Machine(std::shared_ptr<Session> session, TraceSink trace, bool inline_late, bool timing, WarnSink warn);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // Throws Error: V2V-E3032 (see `torn`), V2V-E3033 (see `written`), and what loading the phase's engines gives;
  // nothing has changed but that engines of the phase that stays may have been let go, see `ready`.
  void enter(std::size_t phase, std::string_view cause);
  // Loads engines of this phase that a failed `enter` let go; before each step's first frame and before late calls.
  void ready() { hold(phase_); }
  // Back to before the first frame; params keep what was set. Where the first phase's engines cannot be loaded nothing
  // has changed.
  void reset();
  // The same, and then at the start of a phase, as a snapshot has it: loads that phase's engines, which alone may fail.
  struct Restart {
    std::size_t phase;
    std::int64_t frame_index;
    std::string cleared;  // events
    std::string entered;
  };
  Restart prepare(std::size_t phase, std::int64_t frame_index) const;
  void restart(const Restart& at);
  // Sets params to values that fit, and marks the phase's calls that run when one has changed.
  void set_params(const Map<std::vector<std::byte>>& values);
  // Runs one step over the staged frames and commits it. `owed`: frames whose output is still to come; frames past
  // them are dropped when flushing (nothing is skipped then) and fail the step otherwise. Throws Error: V2V-E3020 to
  // E3023.
  Output step(std::int64_t owed, bool flushing);
  void start_late();
  // Waits for the late calls, commits them (V2V-E3024, once, if one failed), and enters the next phase if this one has
  // run its steps.
  void settle();
  // Ends late calls that run, as `settle` does; that one failed is a warning.
  void settle_quietly();

  const std::vector<Phase>& phases() const { return session_->program().phases; }
  const Phase& phase() const { return phases()[phase_]; }
  std::size_t phase_index() const { return phase_; }
  std::optional<std::size_t> find_phase(std::string_view name) const;
  // Frames whose output is still to come whenever `phase` begins after those before it.
  std::int64_t owed_at_entry(std::size_t phase) const;
  InputState& inputs() const { return *state.inputs.find(phase().name)->second; }
  Runner& runner() { return runner_; }
  // Those of late calls that run are waited for.
  const std::vector<CallTime>& late_times() {
    wait_for_late();
    return late_runner_.times;
  }

  Counters counters;
  State state;
  bool emitted = false;      // a frame has been handed over since the start, so that `skip` may repeat one
  std::int64_t to_drop = 0;  // frames of this phase that are still to be dropped
  Active pending;            // the phase's `changed` calls that must run in the next step
  Torn torn;                 // what failed steps may have left half written
  Written written;           // which slots without a starting value hold one

 private:
  // The late part of the step that has just committed.
  struct Late {
    const StepPlan* plan = nullptr;  // null: there is none
    Scalars* flags = nullptr;
    std::vector<Pinned> keys;
    std::size_t count = 0;  // of `keys`, which keeps its memory
    std::int64_t step = 0;
    Progress progress;
    std::vector<std::pair<const Tensor*, const Tensor*>> copies;
    bool started = false;
    std::optional<Error> error;
  };

  Planner& planner() { return *planners_[phase_]; }
  const StepPlan& plan_now();
  void clear();
  void hold(std::size_t phase);
  std::string entering(std::size_t phase, std::int64_t frame_index, std::string_view cause) const;
  void begin_phase(std::size_t phase, std::string_view cause, const std::string& event);
  Output output(const StepPlan& plan, const Progress& progress, std::int64_t owed, bool flushing, std::int64_t& made);
  void pin_late(const StepPlan& plan, std::int64_t step);
  void apply(const Progress& progress, bool defer);
  void run_late() noexcept;
  template <class Work>
  void keep_failure(const Work& work) noexcept;
  std::optional<Error> finish_late();
  void wait_for_late();

  TraceSink trace_;
  WarnSink warn_;
  bool inline_late_;
  Runner runner_;
  Counters late_counters_;  // the late thread's own, taken over when it is waited for
  Runner late_runner_;
  std::vector<std::unique_ptr<Planner>> planners_;
  std::vector<std::int64_t> made_;  // frames that one step of each phase makes
  std::size_t phase_ = 0;
  std::vector<std::vector<std::string>> wanted_;  // phase -> its graphs that are resident with it, sorted
  std::vector<std::string> held_;                 // those that are held now
  Active active_;
  Progress progress_;
  Late late_;
  LateWorker worker_;
};

}  // namespace v2v_core
