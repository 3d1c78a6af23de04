// What stands between `push` and a step: staged frames, their timestamps, the last frame for a flush.
#pragma once

#include <vector>

#include "machine/machine.hpp"

namespace v2v_core {

// Timestamps of the frames whose output is still to come, oldest first. It grows only past its largest size so far.
class Timestamps {
 public:
  std::size_t size() const { return count_; }
  std::int64_t at(std::size_t i) const { return ring_[(first_ + i) % ring_.size()]; }
  void push(std::int64_t timestamp);
  void reserve(std::size_t count);  // room for so many in all: pushes up to that cannot fail
  std::int64_t pop();
  void drop_newest(std::size_t count) { count_ -= count; }
  void drop_oldest(std::size_t count);
  void clear() { count_ = 0; }

 private:
  std::vector<std::int64_t> ring_ = std::vector<std::int64_t>(64);
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

// A frame in the caller's memory: uint8 [H, W, 3], rows `stride` bytes apart.
struct Pixels {
  const std::byte* data;
  std::int64_t stride;
};

class Feed {
 public:
  explicit Feed(Machine& machine);

  // Stages a frame; runs the step if that completes it, else gives nothing to hand over.
  Output take(const Pixels& pixels, const std::int64_t* timestamp);
  // Stages the last frame again, without a timestamp.
  Output repeat();
  // Repeats after which a program that keeps its promise has handed over every waiting frame.
  std::int64_t flush_limit() const;
  void enter(std::size_t phase);  // V2V-E3031
  void reset();

  // The last frame accepted, or null.
  const Tensor* last() const;
  void restore(std::int64_t accepted_then, const std::vector<std::int64_t>& timestamps,
               const std::vector<std::byte>& staged, const std::vector<std::byte>& last);

  Timestamps waiting;
  std::int64_t accepted = 0;

 private:
  Output step_if_complete(bool flushing);

  Machine& machine_;
  std::int64_t frame_bytes_;
  std::vector<std::byte> packed_;  // a frame whose rows are padded
  std::size_t stamped_ = 0;        // staged frames that have a timestamp
  const Tensor* last_done_ = nullptr;
};

}  // namespace v2v_core
