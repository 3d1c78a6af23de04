#include "machine/stream.hpp"

#include <algorithm>
#include <cstring>

namespace v2v_core {
namespace {

std::vector<std::byte> bytes_of(const Memory& memory, const Tensor& tensor) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(tensor.bytes));
  const_cast<Memory&>(memory).read(tensor, 0, tensor.bytes, bytes.data());
  return bytes;
}

// Frames uint8 [N, H, W, 3], however many.
Blob selftest_frames(const Session& session, const BlobRef& ref, const FrameSpec& spec) {
  const Shape found = session.bundle().blob(ref).entry.shape;
  return session.blob(DType::uint8, {found.empty() ? 0 : found[0], spec.height, spec.width, 3}, ref);
}

// Packed rows to where the caller wants them.
void copy_rows(const std::byte* from, const FrameSpec& spec, const OutputFrame& to) {
  const std::int64_t row = spec.width * 3;
  for (std::int64_t y = 0; y < spec.height; ++y) {
    std::memcpy(to.data + y * to.stride, from + y * row, static_cast<std::size_t>(row));
  }
}

}  // namespace

Stream::Stream(std::shared_ptr<Session> session, TraceSink trace, bool inline_late, bool timing, WarnSink warn)
    : session_(session),
      machine_(std::move(session), std::move(trace), inline_late, timing, std::move(warn)),
      feed_(machine_),
      packed_(static_cast<std::size_t>(output().width * 3 * output().height)) {}

void Stream::end() noexcept {
  try {
    machine_.settle_quietly();
  } catch (...) {
    return;  // no memory for its event, or no device to commit on: the end comes nevertheless
  }
}

// Refuses a call that may not come now, and settles the step before.
void Stream::begin(Kind kind) {
  if (kind == Kind::collect) {
    if (!submitted_) throw Error{3007, "nothing was submitted", "submit, then one collect"};
    return;
  }
  if (kind == Kind::discard) return;
  if (submitted_) throw Error{3007, "a submit has not been collected", "", "collect first"};
  if (!flushed_.empty() && kind != Kind::flush) {
    throw Error{3007, "an unfinished flush holds frames", "", "flush again"};
  }
  machine_.settle();
}

void Stream::check_running() const {
  if (ended_) throw Error{3006, "flush has ended the stream", "", "reset it to start again"};
}

void Stream::begin_submit() { begin(Kind::call); }

void Stream::begin_collect() { begin(Kind::collect); }

void Stream::begin_flush() { begin(Kind::flush); }

void Stream::submit(const Pixels& pixels, const std::int64_t* timestamp) {
  begin(Kind::call);
  check_running();
  pending_ = feed_.take(pixels, timestamp);
  submitted_ = true;
}

std::size_t Stream::collect(std::span<OutputFrame> frames) {
  begin(Kind::collect);
  const auto most = static_cast<std::size_t>(session_->program().max_frames);
  if (frames.size() < most) {
    throw Error{3008, cat("room for ", frames.size(), " frames"), cat("at least ", most, ", the program's max_frames")};
  }
  const std::size_t count = hand_over(frames);
  submitted_ = false;
  return count;
}

std::size_t Stream::hand_over(std::span<OutputFrame> frames) {
  const auto count = static_cast<std::size_t>(pending_.count);
  const std::int64_t row = output().width * 3;
  const std::int64_t bytes = row * output().height;
  Memory& memory = session_->memory();
  for (std::size_t i = 0; i < count; ++i) {
    const OutputFrame& frame = frames[i];
    const std::int64_t offset = (pending_.first + static_cast<std::int64_t>(i)) * bytes;
    if (frame.stride == row) {
      memory.read(*pending_.tensor, offset, bytes, frame.data);
    } else {
      // Not row by row: each reading waits for the device.
      memory.read(*pending_.tensor, offset, bytes, packed_.data());
      copy_rows(packed_.data(), output(), frame);
    }
  }
  // A read that fails above has taken nothing: the next collect hands the same frames over.
  for (OutputFrame& frame : frames.first(count)) {
    frame.timestamp = feed_.waiting.pop();
    frame.index = handed_over_++;
    frame.skipped = pending_.skipped;
  }
  if (count != 0) {
    machine_.counters.frames_out += pending_.count;
    machine_.counters.downloads += 1;
    machine_.counters.downloaded_bytes += pending_.count * bytes;
  }
  pending_ = {};
  machine_.start_late();
  return count;
}

std::int64_t Stream::owed() { return static_cast<std::int64_t>(feed_.waiting.size() + flushed_.size()); }

std::size_t Stream::flush(std::span<OutputFrame> frames) {
  begin(Kind::flush);
  if (frames.size() < static_cast<std::size_t>(owed())) {
    throw Error{3008, cat("room for ", frames.size(), " frames"), cat("at least ", owed(), ", the frames owed")};
  }
  flush_steps();
  for (std::size_t i = 0; i < flushed_.size(); ++i) {
    OutputFrame& to = frames[i];
    const OutputFrame& from = flushed_[i].frame;
    copy_rows(flushed_[i].pixels.data(), output(), to);
    to.timestamp = from.timestamp;
    to.index = from.index;
    to.skipped = from.skipped;
  }
  const std::size_t count = flushed_.size();
  flushed_.clear();
  return count;
}

void Stream::flush_steps() {
  const std::int64_t row = output().width * 3;
  const auto most = static_cast<std::size_t>(session_->program().max_frames);
  std::vector<OutputFrame> made(most);
  for (std::int64_t left = ended_ ? 0 : feed_.flush_limit(); feed_.waiting.size() != 0 && left != 0; --left) {
    std::vector<Flushed> room(most);
    flushed_.reserve(flushed_.size() + most);
    for (std::size_t i = 0; i < most; ++i) {
      room[i].pixels.resize(static_cast<std::size_t>(row * output().height));
      made[i] = {room[i].pixels.data(), row};
    }
    pending_ = feed_.repeat();
    const std::size_t count = hand_over(made);
    for (std::size_t i = 0; i < count; ++i) {
      room[i].frame = made[i];
      flushed_.push_back(std::move(room[i]));
    }
    machine_.settle();
  }
  ended_ = true;
  const std::size_t missing = feed_.waiting.size();
  if (missing != 0) {
    feed_.waiting.clear();
    throw Error{3025, cat(missing, " frames did not come out however often the last frame was repeated"), "",
                "the program hands over less than it takes; flush once more for the frames that did"};
  }
}

void Stream::set_params(std::span<const GivenParam> given) {
  begin(Kind::call);
  machine_.set_params(checked_params(*session_, given));
}

void Stream::enter(std::string_view phase) {
  begin(Kind::call);
  check_running();
  const std::optional<std::size_t> found = machine_.find_phase(phase);
  if (!found) {
    std::string listed;
    for (const Phase& each : machine_.phases()) listed += (listed.empty() ? "" : ", ") + each.name;
    throw Error{3030, "no phase " + quote(phase), "one of " + listed};
  }
  feed_.enter(*found);
}

void Stream::reset(bool params) {
  begin(Kind::discard);
  reset_now(params);
}

void Stream::reset_now(bool params) {
  // Read first: that may fail, and then nothing has changed.
  Map<std::vector<std::byte>> defaults;
  if (params) defaults = machine_.state.default_params();
  machine_.reset();
  for (const auto& [name, value] : defaults) machine_.state.write_param(name, value.data());
  feed_.reset();
  start_anew(false, 0);
}

void Stream::start_anew(bool ended, std::int64_t handed_over) {
  ended_ = ended;
  handed_over_ = handed_over;
  submitted_ = false;
  pending_ = {};
  flushed_.clear();
}

std::unique_ptr<Snapshot> Stream::snapshot() {
  begin(Kind::call);
  return snapshot_now();
}

std::unique_ptr<Snapshot> Stream::snapshot_now() {
  const State& state = machine_.state;
  auto made = std::make_unique<Snapshot>();
  made->identity = session_->manifest().identity;
  made->float_type = session_->float_type();
  made->phase = machine_.phase_index();
  made->step = state.step;
  made->frame_index = state.frame_index;
  made->to_drop = machine_.to_drop;
  made->emitted = machine_.emitted;
  made->pending = machine_.pending;
  made->ended = ended_;
  made->accepted = feed_.accepted;
  made->handed_over = handed_over_;
  for (std::size_t i = 0; i < feed_.waiting.size(); ++i) made->waiting.push_back(feed_.waiting.at(i));
  for (const auto& [name, slot] : state.slots) {
    made->slots.emplace(name, bytes_of(state.memory(), *slot->value()));
    if (slot->ring) made->ring_counts.emplace(name, slot->ring->count);
  }
  for (const auto& [name, param] : state.params) made->params.emplace(name, bytes_of(state.memory(), *param));
  const InputState& inputs = machine_.inputs();
  for (std::size_t i = 0; i < inputs.staged; ++i) {
    const std::vector<std::byte> frame = bytes_of(state.memory(), *inputs.frame(i));
    made->staged.insert(made->staged.end(), frame.begin(), frame.end());
  }
  if (const Tensor* last = feed_.last()) made->last = bytes_of(state.memory(), *last);
  made->torn = machine_.torn.slots();
  made->written = machine_.written.slots();
  return made;
}

void Stream::restore(const Snapshot& snapshot) {
  begin(Kind::discard);
  if (snapshot.identity != session_->manifest().identity) {
    throw Error{3040, cat("the snapshot is of bundle ", snapshot.identity.substr(0, 16), "..."),
                session_->manifest().identity.substr(0, 16) + "..., the bundle that this stream plays"};
  }
  if (snapshot.float_type != session_->float_type()) {
    throw Error{3041, cat("the snapshot holds ", dtype_name(snapshot.float_type), " state"),
                cat(dtype_name(session_->float_type()), ", as the variant of this stream")};
  }
  machine_.settle_quietly();
  restore_now(snapshot, machine_.prepare(snapshot.phase, snapshot.frame_index));
}

void Stream::restore_now(const Snapshot& snapshot, const Machine::Restart& at) {
  State& state = machine_.state;
  feed_.waiting.reserve(snapshot.waiting.size());
  machine_.restart(at);
  feed_.reset();
  machine_.torn.restore(snapshot.torn);
  machine_.written.restore(snapshot.written);
  state.step = snapshot.step;
  machine_.to_drop = snapshot.to_drop;
  machine_.emitted = snapshot.emitted;
  machine_.pending = snapshot.pending;
  for (const auto& [name, value] : snapshot.slots) state.memory().write(*state.slot(name)->value(), value.data());
  for (const auto& [name, count] : snapshot.ring_counts) state.slot(name)->ring->set_count(count);
  for (const auto& [name, value] : snapshot.params) state.write_param(name, value.data());
  feed_.restore(snapshot.accepted, snapshot.waiting, snapshot.staged, snapshot.last);
  start_anew(snapshot.ended, snapshot.handed_over);
}

SelfTestReport Stream::selftest() {
  begin(Kind::call);
  if (!session_->manifest().selftest) {
    throw Error{3060, "the bundle carries no frames to test itself with", "", "build it with v2v-export"};
  }
  const SelfTest& test = *session_->manifest().selftest;
  const Blob given = selftest_frames(*session_, test.input, input());
  const Blob expected = selftest_frames(*session_, test.output, output());
  const std::unique_ptr<Snapshot> before = snapshot_now();
  const Machine::Restart back = machine_.prepare(before->phase, before->frame_index);
  SelfTestReport report;
  report.expected = expected.entry.shape[0];
  report.tolerance = test.tolerance.find(dtype_name(session_->float_type()))->second;
  try {
    reset_now(true);
    test_frames(given, expected, report);
    machine_.settle_quietly();  // here, where it may fail for want of memory
  } catch (...) {
    restore_now(*before, back);
    throw;
  }
  restore_now(*before, back);
  return report;
}

void Stream::test_frames(const Blob& given, const Blob& expected, SelfTestReport& report) {
  const std::int64_t row = output().width * 3;
  const std::int64_t in_bytes = input().width * 3 * input().height;
  const std::int64_t out_bytes = row * output().height;
  const auto compare = [&](const OutputFrame& frame) {
    if (report.frames < report.expected) {
      const char* wanted = expected.bytes().data() + report.frames * out_bytes;
      std::int64_t worst = 0;
      for (std::int64_t i = 0; i < out_bytes; ++i) {
        const int difference = static_cast<int>(frame.data[i]) - static_cast<unsigned char>(wanted[i]);
        worst = std::max<std::int64_t>(worst, std::abs(difference));
      }
      if (report.worst_frame < 0 || worst > report.max_difference) {
        report.max_difference = worst;
        report.worst_frame = report.frames;
      }
    }
    report.frames += 1;
  };
  const auto most = static_cast<std::size_t>(session_->program().max_frames);
  std::vector<std::byte> room(most * static_cast<std::size_t>(out_bytes));
  std::vector<OutputFrame> frames(most);
  for (std::int64_t i = 0; i < given.entry.shape[0]; ++i) {
    for (std::size_t k = 0; k < most; ++k) frames[k] = {room.data() + k * static_cast<std::size_t>(out_bytes), row};
    const auto* pixels = reinterpret_cast<const std::byte*>(given.bytes().data() + i * in_bytes);
    submit({pixels, input().width * 3}, nullptr);
    const std::size_t count = collect(frames);
    for (std::size_t k = 0; k < count; ++k) compare(frames[k]);
  }
  if (report.frames < report.expected) {
    begin(Kind::flush);
    flush_steps();
    for (Flushed& each : flushed_) {
      each.frame.data = each.pixels.data();
      compare(each.frame);
    }
    flushed_.clear();
  }
}

std::vector<CallTime> Stream::times() {
  std::vector<CallTime> all = machine_.runner().times;
  const std::vector<CallTime>& late = machine_.late_times();
  all.insert(all.end(), late.begin(), late.end());
  return all;
}

Counters Stream::counters() { return machine_.counters; }

}  // namespace v2v_core
