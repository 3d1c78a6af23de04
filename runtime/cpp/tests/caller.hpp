// A stream as one of several threads sees it, through the C ABI.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "counting.hpp"

// One frame that was handed over.
struct Frame {
  std::vector<std::uint8_t> pixels;
  std::int64_t timestamp;
  bool operator==(const Frame&) const = default;
};
using Clip = std::map<std::int64_t, Frame>;  // by index

// A thread's own view of a stream: what it pushes, room for what comes out, and what came out.
class Caller {
 public:
  Caller(const v2v::Bundle& bundle, v2v_stream* stream) : stream_(stream), info_(bundle.info()) {
    pixels_ = pixels(bundle, 3);
    given_ = v2v::detail::sized<v2v_frame>();
    given_.width = info_.input_width;
    given_.height = info_.input_height;
    given_.data = pixels_.data();
    given_.timestamp = V2V_TIMESTAMP_COUNT;
  }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  v2v_status push() {
    make_room(static_cast<std::size_t>(info_.max_frames));
    std::size_t count = 0;
    const v2v_status status = v2v_stream_push(stream_, &given_, frames_.data(), frames_.size(), &count, nullptr);
    keep(count);
    return status;
  }
  v2v_status flush() {
    std::size_t count = 0;
    if (const v2v_status status = v2v_stream_get_owed(stream_, &count, nullptr); status != V2V_OK) return status;
    make_room(count);
    const v2v_status status = v2v_stream_flush(stream_, frames_.data(), frames_.size(), &count, nullptr);
    keep(count);
    return status;
  }

  // Every call that takes a stream, and what it gave.
  std::map<std::string, v2v_status> all() {
    std::map<std::string, v2v_status> found;
    std::size_t count = 0;
    auto report = v2v::detail::sized<v2v_selftest>();
    auto counters = v2v::detail::sized<v2v_counters>();
    v2v_snapshot* snapshot = nullptr;
    make_room(static_cast<std::size_t>(info_.max_frames));
    found["push"] = push();
    found["submit"] = v2v_stream_submit(stream_, &given_, nullptr);
    found["collect"] = v2v_stream_collect(stream_, frames_.data(), frames_.size(), &count, nullptr);
    found["get_owed"] = v2v_stream_get_owed(stream_, &count, nullptr);
    found["flush"] = v2v_stream_flush(stream_, frames_.data(), frames_.size(), &count, nullptr);
    found["set_params"] = v2v_stream_set_params(stream_, nullptr, 0, nullptr);
    found["enter"] = v2v_stream_enter(stream_, "", nullptr);
    found["reset"] = v2v_stream_reset(stream_, 0, nullptr);
    found["snapshot"] = v2v_stream_snapshot(stream_, &snapshot, nullptr);
    found["restore"] = v2v_stream_restore(stream_, nullptr, nullptr);
    found["selftest"] = v2v_stream_selftest(stream_, &report, nullptr);
    found["get_counters"] = v2v_stream_get_counters(stream_, &counters, nullptr);
    found["get_timings"] = v2v_stream_get_timings(stream_, nullptr, 0, &count, nullptr);
    found["destroy"] = v2v_stream_destroy(stream_);
    return found;
  }

  Clip shown;

 private:
  void make_room(std::size_t count) {
    const auto bytes =
        std::size_t{3} * static_cast<std::size_t>(info_.output_width) * static_cast<std::size_t>(info_.output_height);
    room_.resize(count * bytes);
    frames_.assign(count, v2v::detail::sized<v2v_frame>());
    for (std::size_t i = 0; i < count; ++i) {
      frames_[i].width = info_.output_width;
      frames_[i].height = info_.output_height;
      frames_[i].data = room_.data() + i * bytes;
    }
  }
  void keep(std::size_t count) {
    const std::size_t bytes = frames_.empty() ? 0 : room_.size() / frames_.size();
    for (std::size_t i = 0; i < count; ++i) {
      const auto* first = static_cast<const std::uint8_t*>(frames_[i].data);
      shown.emplace(frames_[i].index, Frame{{first, first + bytes}, frames_[i].timestamp});
    }
  }

  v2v_stream* stream_;
  v2v_bundle_info info_;
  std::vector<std::uint8_t> pixels_;
  std::vector<std::uint8_t> room_;
  std::vector<v2v_frame> frames_;
  v2v_frame given_;
};
