// The C ABI: streams and snapshots.
#include <algorithm>
#include <cstring>
#include <limits>

#include "abi/objects.hpp"

using namespace v2v_core;
using namespace v2v_core::abi;

namespace {

// Runs `call` with the stream, one thread at a time.
template <class Call>
v2v_status in_turn(v2v_stream* stream, v2v_error* error, const Call& call) noexcept {
  return with<StreamObject>(Kind::stream, stream, error, [&](StreamObject& found) {
    const Turn turn(found);
    call(found);
  });
}

// The row stride of a frame that this version can take.
std::int64_t checked_stride(const v2v_frame& frame, const FrameSpec& spec, int size_code) {
  check_struct(frame, "frame");
  if (frame.memory != V2V_MEMORY_HOST) throw Error{V2V_E_UNSUPPORTED, cat("memory kind ", frame.memory), "host memory"};
  if (frame.format != V2V_RGB8) throw Error{V2V_E_UNSUPPORTED, cat("pixel format ", frame.format), "RGB8"};
  check_given(frame.data, "frame.data");
  if (frame.width != spec.width || frame.height != spec.height) {
    throw Error{size_code, cat("the frame is ", frame.width, " x ", frame.height),
                cat(spec.width, " x ", spec.height, ", width by height"),
                "resize the frame, or build the bundle for this size"};
  }
  const std::int64_t packed = spec.width * 3;
  if (frame.row_stride == 0) return packed;
  // Further apart than that no memory reaches, and their offsets could not be counted.
  const std::int64_t most = std::numeric_limits<std::int64_t>::max() / spec.height;
  if (frame.row_stride < packed || frame.row_stride > most) {
    throw Error{V2V_E_FRAME_STRIDE, cat("rows ", frame.row_stride, " bytes apart"), cat(packed, " to ", most)};
  }
  return frame.row_stride;
}

Pixels checked_input(const v2v_frame* frame, const Stream& stream) {
  const std::int64_t stride = checked_stride(given(frame, "frame"), stream.input(), V2V_E_FRAME_SIZE);
  return {static_cast<const std::byte*>(frame->data), stride};
}

std::span<OutputFrame> checked_output(std::vector<OutputFrame>& room, const Stream& stream, const v2v_frame* frames,
                                      size_t capacity, size_t needed) {
  if (capacity < needed) {
    throw Error{V2V_E_ROOM, cat("room for ", capacity, " frames"), cat("at least ", needed)};
  }
  room.resize(needed);
  for (size_t i = 0; i < needed; ++i) {
    const v2v_frame& frame = given(frames + i, "frames");
    const std::int64_t stride = checked_stride(frame, stream.output(), V2V_E_ROOM);
    room[i] = {static_cast<std::byte*>(frame.data), stride};
  }
  return room;
}

void give_out(std::span<const OutputFrame> from, v2v_frame* frames, size_t made, size_t* count) {
  for (size_t i = 0; i < made; ++i) {
    frames[i].timestamp = from[i].timestamp;
    frames[i].index = from[i].index;
    frames[i].flags = from[i].skipped ? V2V_FRAME_SKIPPED : 0;
  }
  *count = made;
}

size_t max_frames(const Stream& stream) { return static_cast<size_t>(stream.session().program().max_frames); }

// What may not come now is refused before the frame is looked at, as in Python.
void submit(Stream& stream, const v2v_frame* frame) {
  stream.begin_submit();
  const Pixels pixels = checked_input(frame, stream);
  stream.submit(pixels, frame->timestamp == V2V_TIMESTAMP_COUNT ? nullptr : &frame->timestamp);
}

}  // namespace

extern "C" {

v2v_status v2v_stream_create(v2v_bundle* bundle, const v2v_stream_options* options, v2v_stream** stream,
                             v2v_error* error) {
  no_handle_yet(stream);
  return with<BundleObject>(Kind::bundle, bundle, error, [&](BundleObject& opened) {
    check_given(stream, "stream");
    Choice choice;
    TraceSink trace;
    uint32_t flags = 0;
    if (options != nullptr) {
      check_struct(*options, "options");
      flags = options->flags;
      if ((flags & ~uint32_t{V2V_STREAM_LATE_INLINE | V2V_STREAM_TIMING}) != 0) {
        throw Error{V2V_E_UNSUPPORTED, "an unknown flag"};
      }
      if (options->target != nullptr) choice.target = options->target;
      if (options->variant != nullptr) choice.variant = options->variant;
      if (options->options != nullptr) {
        choice.options = json::parse(options->options);
        if (choice.options.object() == nullptr) throw Error{4009, "options are no JSON object"};
      }
      if (options->trace != nullptr) {
        trace = [to = options->trace, user = options->trace_user](const std::string& event) {
          to(user, event.c_str());
        };
      }
    }
    auto made = std::make_shared<StreamObject>();
    made->context = opened.context;
    // The stream's object keeps its context as long as it can warn.
    const WarnSink warn = [to = opened.context.get()](const Error& failure) {
      report(to, nullptr, failure, V2V_LOG_WARNING);
    };
    made->stream =
        std::make_unique<Stream>(open_session(opened.bundle, choice), std::move(trace),
                                 (flags & V2V_STREAM_LATE_INLINE) != 0, (flags & V2V_STREAM_TIMING) != 0, warn);
    made->room.reserve(max_frames(*made->stream));
    *stream = static_cast<v2v_stream*>(make_handle(Kind::stream, std::move(made)));
    inform(opened.context.get(), "made a stream of the bundle ", opened.bundle->root());
  });
}

v2v_status v2v_stream_destroy(v2v_stream* stream) {
  return with<StreamObject>(Kind::stream, stream, nullptr, [&](StreamObject& found) {
    Turn turn(found);
    drop_handle(Kind::stream, stream);
    turn.keep();
    found.stream->end();
    // Here, and not with the object: a call that is being refused right now in another thread may hold that longer.
    found.stream.reset();
    std::vector<OutputFrame>().swap(found.room);
  });
}

v2v_status v2v_stream_submit(v2v_stream* stream, const v2v_frame* frame, v2v_error* error) {
  return in_turn(stream, error, [&](StreamObject& found) { submit(*found.stream, frame); });
}

v2v_status v2v_stream_collect(v2v_stream* stream, v2v_frame* frames, size_t capacity, size_t* count, v2v_error* error) {
  return in_turn(stream, error, [&](StreamObject& found) {
    wanted(count, "count") = 0;
    found.stream->begin_collect();
    const auto room = checked_output(found.room, *found.stream, frames, capacity, max_frames(*found.stream));
    const size_t made = found.stream->collect(room);
    give_out(room, frames, made, count);
  });
}

v2v_status v2v_stream_push(v2v_stream* stream, const v2v_frame* frame, v2v_frame* frames, size_t capacity,
                           size_t* count, v2v_error* error) {
  return in_turn(stream, error, [&](StreamObject& found) {
    wanted(count, "count") = 0;
    const auto room = checked_output(found.room, *found.stream, frames, capacity, max_frames(*found.stream));
    submit(*found.stream, frame);
    const size_t made = found.stream->collect(room);
    give_out(room, frames, made, count);
  });
}

v2v_status v2v_stream_get_owed(v2v_stream* stream, size_t* owed, v2v_error* error) {
  return in_turn(stream, error,
                 [&](StreamObject& found) { wanted(owed, "owed") = static_cast<size_t>(found.stream->owed()); });
}

v2v_status v2v_stream_flush(v2v_stream* stream, v2v_frame* frames, size_t capacity, size_t* count, v2v_error* error) {
  return in_turn(stream, error, [&](StreamObject& found) {
    wanted(count, "count") = 0;
    found.stream->begin_flush();
    std::vector<OutputFrame> room;
    const auto owed = static_cast<size_t>(found.stream->owed());
    const auto checked = checked_output(room, *found.stream, frames, capacity, owed);
    const size_t made = found.stream->flush(checked);
    give_out(checked, frames, made, count);
  });
}

v2v_status v2v_stream_set_params(v2v_stream* stream, const v2v_param* params, size_t count, v2v_error* error) {
  return in_turn(stream, error, [&](StreamObject& found) {
    std::vector<GivenParam> all;
    for (size_t i = 0; i < count; ++i) {
      const v2v_param& param = given(params == nullptr ? nullptr : params + i, "params");
      check_struct(param, "param");
      check_given(param.name, "param.name");
      check_given(param.data, "param.data");
      if (param.rank > 64) throw Error{3011, cat("param ", quote(param.name), " has rank ", param.rank)};
      if (param.rank != 0) check_given(param.shape, "param.shape");
      if (param.dtype >= static_cast<uint32_t>(HostType::count)) {
        throw Error{3012, cat("param ", quote(param.name), " has dtype ", param.dtype), "one of v2v_dtype"};
      }
      all.push_back(
          {param.name, static_cast<HostType>(param.dtype), Shape(param.shape, param.shape + param.rank), param.data});
    }
    found.stream->set_params(all);
  });
}

v2v_status v2v_stream_enter(v2v_stream* stream, const char* phase, v2v_error* error) {
  return in_turn(stream, error, [&](StreamObject& found) {
    check_given(phase, "phase");
    found.stream->enter(phase);
  });
}

v2v_status v2v_stream_reset(v2v_stream* stream, uint32_t flags, v2v_error* error) {
  return in_turn(stream, error, [&](StreamObject& found) {
    if ((flags & ~uint32_t{V2V_RESET_PARAMS}) != 0) throw Error{V2V_E_UNSUPPORTED, "an unknown flag"};
    found.stream->reset((flags & V2V_RESET_PARAMS) != 0);
  });
}

v2v_status v2v_stream_snapshot(v2v_stream* stream, v2v_snapshot** snapshot, v2v_error* error) {
  no_handle_yet(snapshot);
  return in_turn(stream, error, [&](StreamObject& found) {
    check_given(snapshot, "snapshot");
    auto made = std::make_shared<SnapshotObject>();
    made->context = found.context;
    made->snapshot = found.stream->snapshot();
    *snapshot = static_cast<v2v_snapshot*>(make_handle(Kind::snapshot, std::move(made)));
  });
}

v2v_status v2v_stream_restore(v2v_stream* stream, v2v_snapshot* snapshot, v2v_error* error) {
  return in_turn(stream, error, [&](StreamObject& found) {
    found.stream->restore(*object<SnapshotObject>(Kind::snapshot, snapshot)->snapshot);
  });
}

v2v_status v2v_snapshot_destroy(v2v_snapshot* snapshot) {
  std::shared_ptr<void> last;
  return guarded(nullptr, nullptr, [&] { last = drop_handle(Kind::snapshot, snapshot); });
}

v2v_status v2v_stream_selftest(v2v_stream* stream, v2v_selftest* report, v2v_error* error) {
  return in_turn(stream, error, [&](StreamObject& found) {
    check_struct(wanted(report, "report"), "report");
    const SelfTestReport made = found.stream->selftest();
    const bool passed = made.frames == made.expected && made.max_difference <= made.tolerance;
    *report = {sizeof *report,      passed ? 1U : 0U, made.frames,   made.expected,
               made.max_difference, made.worst_frame, made.tolerance};
  });
}

v2v_status v2v_stream_get_counters(v2v_stream* stream, v2v_counters* counters, v2v_error* error) {
  return in_turn(stream, error, [&](StreamObject& found) {
    check_struct(wanted(counters, "counters"), "counters");
    const Counters now = found.stream->counters();
    *counters = {sizeof *counters, 0,
                 now.frames_in,    now.frames_out,
                 now.dropped,      now.steps,
                 now.skipped,      now.failed,
                 now.calls,        now.host_syncs,
                 now.copies,       now.copied_bytes,
                 now.uploads,      now.uploaded_bytes,
                 now.downloads,    now.downloaded_bytes,
                 now.allocations,  now.bindings};
  });
}

v2v_status v2v_stream_get_timings(v2v_stream* stream, v2v_timing* timings, size_t capacity, size_t* count,
                                  v2v_error* error) {
  return in_turn(stream, error, [&](StreamObject& found) {
    const std::vector<CallTime> times = found.stream->times();
    wanted(count, "count") = times.size();
    for (size_t i = 0; i < std::min(capacity, times.size()); ++i) {
      v2v_timing& to = wanted(timings + i, "timings");
      check_struct(to, "timing");
      to = {sizeof to, 0, times[i].runs, times[i].total_ns, times[i].last_ns, {}};
      std::memcpy(to.call, times[i].name.data(), std::min(times[i].name.size(), sizeof to.call - 1));
    }
  });
}

}  // extern "C"
