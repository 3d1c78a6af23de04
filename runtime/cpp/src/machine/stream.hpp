// A stream: frames in, frames out, over a bundle's program. See `Machine` for what a step is, and
// v2v_runtime/stream.py for the contract, which this one keeps.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "machine/feed.hpp"
#include "machine/machine.hpp"
#include "machine/params.hpp"

namespace v2v_core {

// One frame that is handed over, into the caller's memory.
struct OutputFrame {
  std::byte* data = nullptr;
  std::int64_t stride = 0;
  std::int64_t timestamp = 0;
  std::int64_t index = 0;
  bool skipped = false;
};

// Everything that a stream remembers, copied to the host.
struct Snapshot {
  std::string identity;
  DType float_type;
  std::size_t phase;
  std::int64_t step;
  std::int64_t frame_index;
  std::int64_t to_drop;
  bool emitted;
  Active pending;
  bool ended;
  std::int64_t accepted;
  std::int64_t handed_over;
  std::vector<std::int64_t> waiting;
  Map<std::vector<std::byte>> slots;
  Map<std::vector<std::byte>> params;
  Map<std::int64_t> ring_counts;
  std::vector<std::byte> staged;
  std::vector<std::byte> last;  // empty before the first frame
  Torn::Slots torn;
  Written::Slots written;
};

struct SelfTestReport {
  std::int64_t frames = 0;
  std::int64_t expected = 0;
  std::int64_t max_difference = 0;
  std::int64_t worst_frame = -1;
  std::int64_t tolerance = 0;
};

// For one thread at a time.
class Stream {
 public:
  Stream(std::shared_ptr<Session> session, TraceSink trace, bool inline_late, bool timing, WarnSink warn = {});

  // The first check of `submit`, `collect` and `flush`, for who looks at what they are given after it. Throws Error:
  // V2V-E3007, E3024, and what entering the next phase gives.
  void begin_submit();
  void begin_collect();
  void begin_flush();

  void submit(const Pixels& pixels, const std::int64_t* timestamp);
  // Hands the frames of the last submit over to `frames`, at least max_frames of them (V2V-E3008); gives how many.
  std::size_t collect(std::span<OutputFrame> frames);
  // All that is owed, into `frames`, of which there must be as many as are owed (V2V-E3008).
  std::size_t flush(std::span<OutputFrame> frames);
  void set_params(std::span<const GivenParam> given);
  void enter(std::string_view phase);
  void reset(bool params);
  std::unique_ptr<Snapshot> snapshot();
  void restore(const Snapshot& snapshot);
  SelfTestReport selftest();
  std::vector<CallTime> times();
  Counters counters();
  std::int64_t owed();  // frames accepted whose output is still to come, and those that a flush holds

  const Session& session() const { return *session_; }
  const FrameSpec& input() const { return session_->program().inputs.begin()->second; }
  const FrameSpec& output() const { return session_->program().outputs.begin()->second; }

  // The last call: what is late has ended, and is counted, traced and, where it failed, warned of.
  void end() noexcept;

 private:
  enum class Kind : std::uint8_t { call, collect, flush, discard };
  struct Flushed {
    std::vector<std::byte> pixels;
    OutputFrame frame;
  };

  void begin(Kind kind);
  void check_running() const;
  void start_anew(bool ended, std::int64_t handed_over);
  std::size_t hand_over(std::span<OutputFrame> frames);
  void reset_now(bool params);
  std::unique_ptr<Snapshot> snapshot_now();
  void restore_now(const Snapshot& snapshot, const Machine::Restart& at);
  void flush_steps();
  void test_frames(const Blob& given, const Blob& expected, SelfTestReport& report);

  std::shared_ptr<Session> session_;
  Machine machine_;
  Feed feed_;
  bool ended_ = false;
  bool submitted_ = false;
  std::int64_t handed_over_ = 0;
  Output pending_;
  std::vector<Flushed> flushed_;
  std::vector<std::byte> packed_;  // a frame whose rows the caller wants apart
};

}  // namespace v2v_core
