// RAII over the C ABI of v2v.h, header-only: needs nothing of the library but its exported C functions.
//
//   v2v::Bundle bundle("my.v2v");
//   v2v::Stream stream(bundle);
//   for (...) {
//     for (const v2v::Shown& shown : stream.push(pixels)) show(shown.pixels, shown.timestamp);
//   }
//
// Every failure throws v2v::Error. A Bundle may be shared between threads; a Stream belongs to one at a time.
#ifndef V2V_V2V_HPP
#define V2V_V2V_HPP

#include <cstdint>
#include <cstdio>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "v2v/v2v.h"

namespace v2v {

// What the library was built as: its ABI's version, and its own.
inline std::uint32_t abi_version() noexcept { return v2v_abi_version(); }
inline const char* version() noexcept { return v2v_version(); }

// What a call of the library failed with.
class Error : public std::runtime_error {
 public:
  // A library that was built with another v2v_error writes no words into this one.
  Error(v2v_status status, const v2v_error& error)
      : std::runtime_error(error.message[0] != '\0' ? std::string(error.message)
                                                    : "[V2V-E" + std::to_string(status) +
                                                          "] the library gave no words: compile against its header"),
        status_(status) {}
  v2v_status status() const noexcept { return status_; }  // the number in V2V-E####

 private:
  v2v_status status_;
};

namespace detail {

template <class T>
T sized() {
  T value{};
  value.struct_size = sizeof(T);
  return value;
}

// Calls a function of the C ABI whose last argument is the error.
template <class Function, class... Arguments>
void call(Function function, Arguments... arguments) {
  auto error = sized<v2v_error>();
  if (const v2v_status status = function(arguments..., &error); status != V2V_OK) throw Error(status, error);
}

// A text as the C ABI takes it. A NUL would end it early, and another thing be named: then `otherwise` is thrown, the
// code of a name that is not there.
inline const char* c_text(const std::string& text, v2v_status otherwise, const char* what) {
  if (text.find('\0') == std::string::npos) return text.c_str();
  auto error = sized<v2v_error>();
  static_cast<void>(std::snprintf(error.message, sizeof error.message,
                                  "[V2V-E%d] the %s has a NUL inside, after %zu bytes\n  expected: a text without one\n"
                                  "  to do: leave out what stands behind the text",
                                  otherwise, what, text.find('\0')));
  throw Error(otherwise, error);
}

template <class T, v2v_status (*destroy)(T*)>
struct Destroy {
  void operator()(T* handle) const noexcept { destroy(handle); }
};
template <class T, v2v_status (*destroy)(T*)>
using Handle = std::unique_ptr<T, Destroy<T, destroy>>;

}  // namespace detail

// A frame to push: RGB, `row_stride` bytes from row to row (0: packed rows). Its pixels are only read.
inline v2v_frame frame(const std::uint8_t* pixels, std::int32_t width, std::int32_t height, std::int64_t row_stride = 0,
                       std::int64_t timestamp = V2V_TIMESTAMP_COUNT) {
  auto made = detail::sized<v2v_frame>();
  made.format = V2V_RGB8;
  made.memory = V2V_MEMORY_HOST;
  made.width = width;
  made.height = height;
  made.data = const_cast<std::uint8_t*>(pixels);
  made.row_stride = row_stride;
  made.timestamp = timestamp;
  return made;
}

// The caller's own room for a frame that comes out.
inline v2v_frame room(std::uint8_t* pixels, std::int32_t width, std::int32_t height, std::int64_t row_stride = 0) {
  return frame(pixels, width, height, row_stride);
}

// Where memory and words go; it may be destroyed before what was made in it.
class Context {
 public:
  explicit Context(v2v_context_options options) {
    options.struct_size = sizeof options;
    v2v_context* made = nullptr;
    detail::call(v2v_context_create, &options, &made);
    handle_.reset(made);
  }
  v2v_context* get() const noexcept { return handle_.get(); }

 private:
  detail::Handle<v2v_context, v2v_context_destroy> handle_;
};

// An open bundle. It never changes, so threads may share it.
class Bundle {
 public:
  explicit Bundle(const std::string& path, std::uint32_t flags = 0, const Context* context = nullptr) {
    v2v_bundle* made = nullptr;
    detail::call(v2v_bundle_open, context == nullptr ? nullptr : context->get(), detail::c_text(path, 1001, "path"),
                 flags, &made);
    handle_.reset(made);
    info_ = detail::sized<v2v_bundle_info>();
    detail::call(v2v_bundle_get_info, made, &info_);
  }

  const v2v_bundle_info& info() const noexcept { return info_; }
  v2v_bundle* get() const noexcept { return handle_.get(); }

  // The names of the targets present.
  std::vector<std::string> targets() const {
    auto now = detail::sized<v2v_bundle_info>();
    detail::call(v2v_bundle_get_info, get(), &now);
    std::vector<std::string> names;
    for (std::uint32_t i = 0; i < now.target_count; ++i) {
      char name[512];
      detail::call(v2v_bundle_target_name, get(), i, name, sizeof name);
      names.emplace_back(name);
    }
    return names;
  }

 private:
  detail::Handle<v2v_bundle, v2v_bundle_destroy> handle_;
  v2v_bundle_info info_{};
};

// How to open a stream; see v2v_stream_options.
struct StreamOptions {
  std::string target = {};
  std::string variant = {};
  std::string options = {};  // a JSON object
  std::uint32_t flags = 0;
  std::function<void(const char* event)> trace = {};  // must not throw
};

// One frame that a stream handed over; `pixels` are the stream's own until its next call.
struct Shown {
  std::span<const std::uint8_t> pixels;  // RGB, packed rows
  std::int64_t timestamp;
  std::int64_t index;
  bool skipped;
};

class Snapshot {
 public:
  explicit Snapshot(v2v_snapshot* handle) : handle_(handle) {}
  v2v_snapshot* get() const noexcept { return handle_.get(); }

 private:
  detail::Handle<v2v_snapshot, v2v_snapshot_destroy> handle_;
};

// A param's value: a packed array of `type`.
struct Param {
  std::string name;
  v2v_dtype type;
  const void* data;
  std::vector<std::int64_t> shape;
};

class Stream {
 public:
  explicit Stream(const Bundle& bundle, StreamOptions options = {})
      : info_(bundle.info()), handle_(nullptr, End{std::make_unique<Trace>(std::move(options.trace))}) {
    auto given = detail::sized<v2v_stream_options>();
    given.flags = options.flags;
    given.target = options.target.empty() ? nullptr : detail::c_text(options.target, V2V_E_NO_TARGET, "target");
    given.variant = options.variant.empty() ? nullptr : detail::c_text(options.variant, 4015, "variant");
    given.options = options.options.empty() ? nullptr : detail::c_text(options.options, 4009, "text of options");
    Trace& trace = *handle_.get_deleter().trace;
    if (trace) {
      given.trace = [](void* user, const char* event) { (*static_cast<Trace*>(user))(event); };
      given.trace_user = &trace;
    }
    v2v_stream* made = nullptr;
    detail::call(v2v_stream_create, bundle.get(), &given, &made);
    handle_.reset(made);
    make_room(static_cast<std::size_t>(info_.max_frames));
  }

  const v2v_bundle_info& info() const noexcept { return info_; }
  v2v_stream* get() const noexcept { return handle_.get(); }

  // Takes one frame of packed RGB rows; gives the frames that come out, which stay until the next call.
  std::span<const Shown> push(std::span<const std::uint8_t> pixels, std::int64_t timestamp = V2V_TIMESTAMP_COUNT) {
    return push(input(pixels, timestamp));
  }
  std::span<const Shown> push(const v2v_frame& given) { return shown(push(given, frames_)); }

  // The two halves of push: what is late runs while the caller goes on after collect.
  void submit(std::span<const std::uint8_t> pixels, std::int64_t timestamp = V2V_TIMESTAMP_COUNT) {
    submit(input(pixels, timestamp));
  }
  void submit(const v2v_frame& given) { detail::call(v2v_stream_submit, get(), &given); }
  std::span<const Shown> collect() { return shown(collect(frames_)); }

  // The same into the caller's own frames, made by `v2v::room`: at least max_frames of them, for `flush` at least
  // `owed()`. Gives how many came out; those have their timestamp, index and flags.
  std::size_t push(const v2v_frame& given, std::span<v2v_frame> into) {
    std::size_t count = 0;
    detail::call(v2v_stream_push, get(), &given, into.data(), into.size(), &count);
    return count;
  }
  std::size_t collect(std::span<v2v_frame> into) {
    std::size_t count = 0;
    detail::call(v2v_stream_collect, get(), into.data(), into.size(), &count);
    return count;
  }
  std::size_t flush(std::span<v2v_frame> into) {
    std::size_t count = 0;
    detail::call(v2v_stream_flush, get(), into.data(), into.size(), &count);
    return count;
  }

  // Frames accepted whose output is still to come.
  std::size_t owed() const {
    std::size_t count = 0;
    detail::call(v2v_stream_get_owed, get(), &count);
    return count;
  }

  // Every frame that is still owed; then the stream has ended until `reset`.
  std::span<const Shown> flush() {
    const std::size_t wanted = owed();
    if (wanted > frames_.size()) make_room(wanted);
    return shown(flush(frames_));
  }

  void set_params(std::span<const Param> params) {
    std::vector<v2v_param> given;
    for (const Param& param : params) {
      given.push_back({sizeof(v2v_param), static_cast<std::uint32_t>(param.type),
                       detail::c_text(param.name, 3010, "param's name"), param.data, param.shape.data(),
                       param.shape.size()});
    }
    detail::call(v2v_stream_set_params, get(), given.data(), given.size());
  }
  void enter(const std::string& phase) {
    detail::call(v2v_stream_enter, get(), detail::c_text(phase, 3030, "phase's name"));
  }
  void reset(bool params = false) {
    const std::uint32_t flags = params ? std::uint32_t{V2V_RESET_PARAMS} : 0;
    detail::call(v2v_stream_reset, get(), flags);
  }

  Snapshot snapshot() {
    v2v_snapshot* made = nullptr;
    detail::call(v2v_stream_snapshot, get(), &made);
    return Snapshot(made);
  }
  void restore(const Snapshot& snapshot) { detail::call(v2v_stream_restore, get(), snapshot.get()); }

  v2v_selftest selftest() {
    auto report = detail::sized<v2v_selftest>();
    detail::call(v2v_stream_selftest, get(), &report);
    return report;
  }
  v2v_counters counters() const {
    auto found = detail::sized<v2v_counters>();
    detail::call(v2v_stream_get_counters, get(), &found);
    return found;
  }
  // How often each call ran and how long, where V2V_STREAM_TIMING asked for it.
  std::vector<v2v_timing> timings() const {
    std::size_t count = 0;
    detail::call(v2v_stream_get_timings, get(), static_cast<v2v_timing*>(nullptr), count, &count);
    std::vector<v2v_timing> found(count, detail::sized<v2v_timing>());
    detail::call(v2v_stream_get_timings, get(), found.data(), found.size(), &count);
    return found;
  }

 private:
  v2v_frame input(std::span<const std::uint8_t> pixels, std::int64_t timestamp) {
    const auto wanted =
        std::size_t{3} * static_cast<std::size_t>(info_.input_width) * static_cast<std::size_t>(info_.input_height);
    if (pixels.size() == wanted) {
      return frame(pixels.data(), info_.input_width, info_.input_height, 0, timestamp);
    }
    // The library refuses a frame of no size: with its own words where none may come now, else with these.
    const std::uint8_t none = 0;
    const v2v_frame odd = frame(&none, -1, -1, 0, timestamp);
    auto error = detail::sized<v2v_error>();
    const v2v_status status = v2v_stream_submit(get(), &odd, &error);
    if (status == V2V_E_FRAME_SIZE) {
      static_cast<void>(
          std::snprintf(error.message, sizeof error.message,
                        "[V2V-E%d] the frame has %zu bytes\n  expected: %zu, packed RGB of %d x %d, width by height\n"
                        "  to do: resize the frame, or build the bundle for this size",
                        status, pixels.size(), wanted, info_.input_width, info_.input_height));
    }
    throw Error(status, error);
  }

  void make_room(std::size_t count) {
    const auto bytes =
        std::size_t{3} * static_cast<std::size_t>(info_.output_width) * static_cast<std::size_t>(info_.output_height);
    frames_.reserve(count);
    shown_.reserve(count);
    room_.resize(count * bytes);
    frames_.clear();
    for (std::size_t i = 0; i < count; ++i) {
      frames_.push_back(room(room_.data() + i * bytes, info_.output_width, info_.output_height));
    }
  }

  std::span<const Shown> shown(std::size_t count) {
    shown_.clear();
    for (std::size_t i = 0; i < count; ++i) {
      const v2v_frame& frame = frames_[i];
      const auto bytes =
          std::size_t{3} * static_cast<std::size_t>(frame.width) * static_cast<std::size_t>(frame.height);
      shown_.push_back({{static_cast<const std::uint8_t*>(frame.data), bytes},
                        frame.timestamp,
                        frame.index,
                        (frame.flags & V2V_FRAME_SKIPPED) != 0});
    }
    return shown_;
  }

  using Trace = std::function<void(const char*)>;
  // The trace goes after its stream, whose end may still call it; so it does where another stream is moved here.
  struct End {
    std::unique_ptr<Trace> trace;
    void operator()(v2v_stream* handle) const noexcept { v2v_stream_destroy(handle); }
  };

  v2v_bundle_info info_;
  std::unique_ptr<v2v_stream, End> handle_;
  std::vector<std::uint8_t> room_;
  std::vector<v2v_frame> frames_;
  std::vector<Shown> shown_;
};

}  // namespace v2v

#endif
