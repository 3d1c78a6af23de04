#include "machine/feed.hpp"

#include <algorithm>
#include <cstring>

namespace v2v_core {

void Timestamps::reserve(std::size_t count) {
  if (count <= ring_.size()) return;
  std::vector<std::int64_t> larger(std::max(ring_.size() * 2, count));
  for (std::size_t i = 0; i < count_; ++i) larger[i] = at(i);
  ring_ = std::move(larger);
  first_ = 0;
}

void Timestamps::push(std::int64_t timestamp) {
  reserve(count_ + 1);
  ring_[(first_ + count_) % ring_.size()] = timestamp;
  count_ += 1;
}

std::int64_t Timestamps::pop() {
  const std::int64_t oldest = at(0);
  drop_oldest(1);
  return oldest;
}

void Timestamps::drop_oldest(std::size_t count) {
  first_ = (first_ + count) % ring_.size();
  count_ -= count;
}

Feed::Feed(Machine& machine) : machine_(machine), frame_bytes_(machine.inputs().frame(0)->bytes) {
  packed_.resize(static_cast<std::size_t>(frame_bytes_));
}

const Tensor* Feed::last() const {
  const InputState& inputs = machine_.inputs();
  return inputs.staged != 0 ? inputs.frame(inputs.staged - 1).get() : last_done_;
}

Output Feed::take(const Pixels& pixels, const std::int64_t* timestamp) {
  machine_.ready();
  InputState& inputs = machine_.inputs();
  const Tensor& frame = *inputs.frame(inputs.staged);
  const std::int64_t row = frame.shape[2] * 3;
  waiting.reserve(waiting.size() + 1);
  if (pixels.stride == row) {
    machine_.state.memory().write(frame, pixels.data);
  } else {
    for (std::int64_t y = 0; y < frame.shape[1]; ++y) {
      std::memcpy(packed_.data() + y * row, pixels.data + y * pixels.stride, static_cast<std::size_t>(row));
    }
    machine_.state.memory().write(frame, packed_.data());
  }
  // Nothing below fails before the step: a frame that was not written is not waited for.
  waiting.push(timestamp == nullptr ? accepted : *timestamp);
  inputs.staged += 1;
  machine_.counters.frames_in += 1;
  machine_.counters.uploads += 1;
  machine_.counters.uploaded_bytes += frame_bytes_;
  accepted += 1;
  stamped_ += 1;
  return step_if_complete(false);
}

Output Feed::repeat() {
  machine_.ready();
  InputState& inputs = machine_.inputs();
  machine_.runner().copy(*inputs.frame(inputs.staged), *last());
  inputs.staged += 1;
  machine_.counters.frames_in += 1;
  return step_if_complete(true);
}

std::int64_t Feed::flush_limit() const {
  std::int64_t limit = 0;
  for (std::size_t i = machine_.phase_index(); i < machine_.phases().size(); ++i) {
    const Phase& phase = machine_.phases()[i];
    const std::int64_t left = static_cast<std::int64_t>(waiting.size()) + 1 + (phase.emit ? phase.emit->drop_first : 0);
    limit += phase.gather * std::min(left, phase.steps.value_or(left));
  }
  return limit;
}

void Feed::enter(std::size_t phase) {
  const Phase& wanted = machine_.phases()[phase];
  InputState& before = machine_.inputs();
  InputState& after = *machine_.state.inputs.find(wanted.name)->second;
  const std::size_t staged = before.staged;
  if (static_cast<std::int64_t>(staged) >= wanted.gather) {
    throw Error{3031, cat(staged, " frames are staged for a step of phase ", quote(machine_.phase().name)),
                cat("fewer than the ", wanted.gather, " that a step of phase ", quote(wanted.name), " takes"),
                "push the rest of that step's frames first, or reset"};
  }
  machine_.enter(phase, "enter");
  if (&after != &before) {
    for (std::size_t i = 0; i < staged; ++i) machine_.runner().copy(*after.frame(i), *before.frame(i));
    before.staged = 0;
    after.staged = staged;
  }
  const std::size_t kept = static_cast<std::size_t>(machine_.owed_at_entry(phase)) + stamped_;
  if (waiting.size() > kept) waiting.drop_oldest(waiting.size() - kept);
}

void Feed::reset() {
  for (const auto& [phase, inputs] : machine_.state.inputs) inputs->staged = 0;
  waiting.clear();
  accepted = 0;
  stamped_ = 0;
  last_done_ = nullptr;
}

void Feed::restore(std::int64_t accepted_then, const std::vector<std::int64_t>& timestamps,
                   const std::vector<std::byte>& staged, const std::vector<std::byte>& last) {
  InputState& inputs = machine_.inputs();
  for (const std::int64_t timestamp : timestamps) waiting.push(timestamp);
  accepted = accepted_then;
  inputs.staged = stamped_ = staged.size() / static_cast<std::size_t>(frame_bytes_);
  for (std::size_t i = 0; i < inputs.staged; ++i) {
    machine_.state.memory().write(*inputs.frame(i), staged.data() + i * static_cast<std::size_t>(frame_bytes_));
  }
  last_done_ = nullptr;
  if (!last.empty()) {
    last_done_ = inputs.frames[inputs.index ^ 1U].back().get();
    machine_.state.memory().write(*last_done_, last.data());
  }
}

Output Feed::step_if_complete(bool flushing) {
  InputState& inputs = machine_.inputs();
  if (inputs.staged < inputs.gather()) return {};
  const std::size_t stamped = stamped_;
  stamped_ = 0;
  inputs.staged = 0;
  Output output;
  try {
    output = machine_.step(static_cast<std::int64_t>(waiting.size()), flushing);
  } catch (...) {
    waiting.drop_newest(stamped);
    accepted -= static_cast<std::int64_t>(stamped);
    throw;
  }
  // The step has moved the index on: its frames lie intact in the other buffer.
  last_done_ = inputs.frames[inputs.index ^ 1U].back().get();
  return output;
}

}  // namespace v2v_core
