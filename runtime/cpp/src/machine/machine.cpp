#include "machine/machine.hpp"

#include <algorithm>
#include <iterator>
#include <new>
#include <set>

namespace v2v_core {

Machine::Machine(std::shared_ptr<Session> session, TraceSink trace, bool inline_late, bool timing, WarnSink warn)
    : session_(std::move(session)),
      state(*session_, counters),
      torn(*session_),
      written(session_->program()),
      trace_(std::move(trace)),
      warn_(std::move(warn)),
      inline_late_(inline_late),
      runner_(session_->memory(), counters, timing),
      late_runner_(session_->memory(), late_counters_, timing) {
  for (const Phase& each : phases()) {
    planners_.push_back(std::make_unique<Planner>(each, *session_, state));
    std::set<std::string> graphs;
    for (const Call& call : each.calls) {
      if (session_->manifest().graphs.find(call.graph)->second.resident_phase) graphs.insert(call.graph);
    }
    wanted_.emplace_back(graphs.begin(), graphs.end());
  }
  std::size_t most = 0;
  for (const auto& each : planners_) {
    each->prepare();
    made_.push_back(each->frames_made());
    most = std::max(most, each->phase().calls.size());
  }
  for (Progress* each : {&progress_, &late_.progress}) {
    each->done.reserve(most);
    each->ran.reserve(most);
    each->left_out.reserve(most);
    each->counts.reserve(most);
  }
  pending.reserve(most);
  active_.reserve(most);
  try {
    enter(0, "start");
  } catch (...) {
    session_->release(held_);
    throw;
  }
}

Machine::~Machine() {
  wait_for_late();
  worker_.close();
  for (const auto& each : planners_) each->unbind();
  session_->release(held_);
}

void Machine::enter(std::size_t phase, std::string_view cause) {
  if (cause == "enter") {
    torn.refuse(phase);
    written.refuse(phase);
  }
  hold(phase);
  begin_phase(phase, cause, entering(phase, state.frame_index, cause));
}

// The event of a phase that is entered, if anybody asks. It is made before anything changes: it takes memory.
std::string Machine::entering(std::size_t phase, std::int64_t frame_index, std::string_view cause) const {
  return trace_ ? phase_event(phases()[phase].name, frame_index, cause) : std::string();
}

void Machine::begin_phase(std::size_t phase, std::string_view cause, const std::string& event) {
  const Phase& entered = phases()[phase];
  if (cause != "reset" && cause != "restore") {
    for (const std::string& name : entered.resets) {
      state.reset(*state.slot(name));
      if (entered.skip && entered.skip->frame == name) emitted = false;
    }
    written.forget_resets(phase);
  }
  phase_ = phase;
  state.step = 0;
  to_drop = entered.emit ? entered.emit->drop_first : 0;
  pending.assign(entered.calls.size(), false);
  for (const auto& [position, params] : planner().changed()) pending[position] = true;
  if (trace_) trace_(event);
}

void Machine::reset() {
  settle_quietly();
  hold(0);
  const std::string event = entering(0, 0, "reset");
  clear();
  begin_phase(0, "reset", event);
}

Machine::Restart Machine::prepare(std::size_t phase, std::int64_t frame_index) const {
  return {phase, frame_index, entering(0, 0, "reset"), entering(phase, frame_index, "restore")};
}

void Machine::restart(const Restart& at) {
  wait_for_late();
  hold(at.phase);
  clear();
  begin_phase(0, "reset", at.cleared);
  state.frame_index = at.frame_index;
  begin_phase(at.phase, "restore", at.entered);
}

void Machine::clear() {
  late_.plan = nullptr;  // those that no collect has started
  counters.take(late_counters_);
  torn.clear();
  written.clear();
  for (const auto& [name, slot] : state.slots) state.reset(*slot);
  state.frame_index = 0;
  emitted = false;
}

void Machine::set_params(const Map<std::vector<std::byte>>& values) {
  for (const auto& [name, value] : values) {
    state.write_param(name, value.data());
    counters.uploads += 1;
    counters.uploaded_bytes += static_cast<std::int64_t>(value.size());
  }
  for (const auto& [position, params] : planner().changed()) {
    for (const std::string& param : params) {
      if (values.contains(param)) pending[position] = true;
    }
  }
}

const StepPlan& Machine::plan_now() {
  active_ = pending;
  planner().schedule(state.step, active_);
  return planner().plan(active_);
}

Output Machine::step(std::int64_t owed, bool flushing) {
  const std::int64_t step = state.step;
  const std::int64_t frame_index = state.frame_index;
  progress_.begin(phase().name);
  Output handed;
  std::int64_t made = 0;
  std::string event;  // made before the commit: it takes memory, and after the commit nothing may fail
  try {
    const StepPlan& plan = plan_now();
    state.upload_builtins();
    // A flush repeats a frame to get the ones in flight out: a filter would skip each repeat.
    const bool honoured = plan.skip && emitted && !flushing;
    runner_.run(plan.main, progress_, nullptr, honoured ? &*plan.skip : nullptr);
    runner_.check(planner().flags(), progress_);
    handed = output(plan, progress_, owed, flushing, made);
    late_.copies.clear();
    late_.count = 0;
    // Before the commit moves the cells: late calls read what this step began with.
    if (!progress_.skipped) pin_late(plan, step);
    if (trace_) event = step_event(step, frame_index, progress_, handed, 0);
    apply(progress_, !progress_.skipped);
    late_.plan = late_.count != 0 || !late_.copies.empty() ? &plan : nullptr;
  } catch (const Error& error) {
    torn.fail(phase_, progress_);
    counters.failed += 1;
    if (trace_) trace_(step_event(step, frame_index, progress_, {}, error.code));
    throw;
  } catch (...) {
    torn.fail(phase_, progress_);
    counters.failed += 1;
    throw;
  }
  for (const StepCall* call : progress_.done) pending[call->position] = false;
  inputs().index ^= 1U;
  if (progress_.skipped) {
    counters.skipped += 1;
  } else {
    torn.mend(phase_);
    to_drop -= std::min(made, to_drop);
    state.step += 1;
    written.stepped(phase_, state.step);
    state.frame_index += phase().gather;
    counters.steps += 1;
  }
  counters.dropped += handed.dropped;
  if (handed.count != 0) emitted = true;
  if (trace_) trace_(event);
  return handed;
}

// What the step hands over, and how many frames it made; throws before anything is committed.
Output Machine::output(const StepPlan& plan, const Progress& progress, std::int64_t owed, bool flushing,
                       std::int64_t& made) {
  Output handed;
  handed.skipped = progress.skipped;
  const Operand* operand = progress.skipped && plan.skip ? plan.skip->frame : plan.emit;
  if (operand == nullptr) return handed;
  const Tensor& tensor = *operand->now();
  made = tensor.shape[0];
  const std::int64_t drop = progress.skipped ? 0 : std::min(to_drop, made);
  std::int64_t count = made - drop;
  if (count > owed) {
    if (!flushing) {
      throw Error{3023, cat("the step failed: phase ", quote(phase().name), " hands over ", count, " frames"),
                  cat("at most ", owed, ": no more wait for their output"),
                  "the program emits more frames than it takes; build the bundle again"};
    }
    count = owed;
  }
  handed.count = count;
  handed.dropped = made - count;
  handed.tensor = &tensor;
  handed.first = drop;
  return handed;
}

void Machine::pin_late(const StepPlan& plan, std::int64_t step) {
  late_.count = plan.late.size();
  if (late_.keys.size() < late_.count) late_.keys.resize(late_.count);
  for (std::size_t i = 0; i < late_.count; ++i) {
    const StepCall& call = plan.late[i];
    call.plan->key(late_.keys[i].key);
    late_.keys[i].copies.clear();
    for (const Copy& copy : call.prepare) {
      late_.keys[i].copies.emplace_back(copy.target->now().get(), copy.source->now().get());
    }
  }
  late_.flags = planner().late_flags();
  late_.step = step;
  late_.started = false;
  late_.error.reset();
  late_.progress.begin(phase().name);
  late_.progress.counts = progress_.counts;
}

// Commits what ran: first every copy, then the swaps, each slot once, then the rings.
void Machine::apply(const Progress& progress, bool defer) {
  // What may allocate comes before what moves.
  if (defer) {
    for (const StepCall* call : progress.done) {
      for (const Copy& copy : call->commit.copies) {
        if (copy.deferred) late_.copies.emplace_back(copy.target->now().get(), copy.source->now().get());
      }
    }
  }
  Runner& runner = &progress == &late_.progress ? late_runner_ : runner_;
  for (const StepCall* call : progress.done) {
    for (const Copy& copy : call->commit.copies) {
      if (!copy.deferred || !defer) runner.copy(*copy.target->now(), *copy.source->now());
    }
    for (SlotState* slot : call->commit.swaps) slot->to_swap = true;
  }
  for (const StepCall* call : progress.done) {
    for (SlotState* slot : call->commit.swaps) {
      if (slot->to_swap) slot->index ^= 1U;
      slot->to_swap = false;
    }
    for (RingState* ring : call->commit.rings) ring->set_count(ring->count + 1);
  }
}

// Fails never: the step before has its frames handed over already. Where there is no thread the late calls failed, and
// where their engines, which a `reset` that failed has let go, cannot be loaded again.
void Machine::start_late() {
  if (late_.plan == nullptr) return;
  late_.started = true;
  if (late_.count == 0) return;
  keep_failure([&] {
    ready();
    if (inline_late_) {
      run_late();
    } else {
      worker_.start([](void* of) { static_cast<Machine*>(of)->run_late(); }, this);
    }
  });
}

// On the worker's thread, or on the caller's when inline.
void Machine::run_late() noexcept {
  keep_failure([&] {
    late_runner_.run(late_.plan->late, late_.progress, &late_.keys, nullptr);
    late_runner_.check(late_.flags, late_.progress);
  });
}

// What fails the late calls is told by the next call.
template <class Work>
void Machine::keep_failure(const Work& work) noexcept {
  try {
    work();
  } catch (Error& error) {
    late_.error = std::move(error);
  } catch (const std::bad_alloc&) {
    late_.error = Error{3104, {}};  // texts need memory too
  } catch (...) {
    late_.error = Error{3105, {}};
  }
}

void Machine::settle() {
  if (late_.plan != nullptr) {
    if (!late_.started) start_late();
    if (late_.count != 0 && !inline_late_) worker_.wait();
    if (std::optional<Error> error = finish_late()) throw std::move(*error);
  }
  if (phase().steps && state.step >= *phase().steps) enter(phase_ + 1, "next");
}

void Machine::settle_quietly() {
  if (late_.plan == nullptr || !late_.started) return;
  wait_for_late();
  const std::optional<Error> failure = finish_late();
  if (failure && warn_) warn_(*failure);
}

// Commits what the late calls wrote, or says why not.
std::optional<Error> Machine::finish_late() {
  // Made first: they take memory, and where there is none the next call settles the same calls.
  std::string event;
  if (trace_ && late_.count != 0) {
    event = late_event(late_.step, late_.progress, late_.error ? late_.error->code : 0);
  }
  std::optional<Error> failure;
  if (late_.error) {
    failure = Error{3024,
                    cat("the late calls of phase ", quote(*late_.progress.phase), ", step ", late_.step,
                        ", failed: ", late_.error->message()),
                    "", "what they would have written is as before; call again, the stream goes on"};
  }
  late_.plan = nullptr;
  for (const auto& [target, source] : late_.copies) late_runner_.copy(*target, *source);
  if (failure) {
    late_counters_.failed += 1;
  } else {
    apply(late_.progress, false);
  }
  counters.take(late_counters_);
  if (!event.empty()) trace_(event);
  return failure;
}

// What came of them is still to be settled.
void Machine::wait_for_late() {
  if (late_.plan != nullptr && late_.started && late_.count != 0 && !inline_late_) worker_.wait();
}

// Frees the engines of the phase that is left, then loads those of `phase`: not both at once. Where that fails, those
// that both phases have stay held.
void Machine::hold(std::size_t phase) {
  if (wanted_[phase] == held_) return;
  std::vector<std::string> wanted = wanted_[phase];
  std::vector<std::string> leaving;
  std::vector<std::string> kept;
  std::vector<std::string> missing;
  std::set_difference(held_.begin(), held_.end(), wanted.begin(), wanted.end(), std::back_inserter(leaving));
  std::set_intersection(held_.begin(), held_.end(), wanted.begin(), wanted.end(), std::back_inserter(kept));
  std::set_difference(wanted.begin(), wanted.end(), held_.begin(), held_.end(), std::back_inserter(missing));
  // Every phase's: one that was left for a phase of the same engines is bound still.
  for (const auto& each : planners_) each->unbind();
  session_->release(leaving);
  held_ = std::move(kept);
  session_->hold(missing);
  held_ = std::move(wanted);
}

std::optional<std::size_t> Machine::find_phase(std::string_view name) const {
  for (std::size_t i = 0; i < phases().size(); ++i) {
    if (phases()[i].name == name) return i;
  }
  return std::nullopt;
}

std::int64_t Machine::owed_at_entry(std::size_t phase) const {
  std::int64_t owed = 0;
  for (std::size_t i = 0; i < phase; ++i) {
    const Phase& earlier = phases()[i];
    const std::int64_t steps = earlier.steps.value_or(0);  // of every phase but the last
    owed += steps * earlier.gather;
    if (earlier.emit) owed -= std::max<std::int64_t>(0, steps * made_[i] - earlier.emit->drop_first);
  }
  return std::max<std::int64_t>(0, owed);
}

}  // namespace v2v_core
