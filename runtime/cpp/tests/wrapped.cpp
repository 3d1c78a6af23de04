// Everything of v2v.hpp, each against what the C ABI gives or what the bundle is known to do:
//   v2v_wrapped BUNDLE TARGETS CALLS PHASE PARAM SIZE LATE
// BUNDLE hands over the oldest frame once it owes some and carries a self-test; TARGETS is how many targets it has,
// CALLS how many calls; PARAM of shape [SIZE] is set. LATE is a bundle whose fourth step has late calls. Prints what
// does not hold, and ends with 1 where anything did not.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "counting.hpp"

namespace {

int wrong = 0;

void check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  ++wrong;
}

template <class Call>
v2v_status refused(const Call& call) {
  try {
    call();
  } catch (const v2v::Error& error) {
    const std::string code = "V2V-E" + std::to_string(error.status());
    check(std::strstr(error.what(), code.c_str()) != nullptr, "an error's words lack its code");
    return error.status();
  }
  return V2V_OK;
}

// The words of what a call throws.
template <class Call>
std::string words_of(const Call& call) {
  try {
    call();
  } catch (const v2v::Error& error) {
    return error.what();
  }
  return {};
}

struct Picture {
  std::vector<std::uint8_t> pixels;
  std::int64_t timestamp;
  std::int64_t index;
  bool skipped;
  bool operator==(const Picture&) const = default;
};
using Pictures = std::vector<Picture>;

void add(Pictures& to, std::span<const v2v::Shown> frames) {
  for (const v2v::Shown& each : frames) {
    to.push_back({{each.pixels.begin(), each.pixels.end()}, each.timestamp, each.index, each.skipped});
  }
}

// Rows with three bytes between them, which are `gap` before and after.
class Strided {
 public:
  static constexpr std::uint8_t kGap = 77;

  Strided(std::int32_t width, std::int32_t height)
      : width_(width),
        height_(height),
        row_(static_cast<std::size_t>(width) * 3),
        bytes_((row_ + 3) * static_cast<std::size_t>(height), kGap) {}

  std::uint8_t* data() { return bytes_.data(); }
  std::int64_t stride() const { return static_cast<std::int64_t>(row_ + 3); }
  std::int32_t width() const { return width_; }
  std::int32_t height() const { return height_; }

  void fill(std::span<const std::uint8_t> packed) {
    for (std::size_t y = 0; y < static_cast<std::size_t>(height_); ++y) {
      std::memcpy(&bytes_[y * (row_ + 3)], &packed[y * row_], row_);
    }
  }
  std::vector<std::uint8_t> packed() const {
    std::vector<std::uint8_t> made;
    for (std::size_t y = 0; y < static_cast<std::size_t>(height_); ++y) {
      const auto row = bytes_.begin() + static_cast<std::ptrdiff_t>(y * (row_ + 3));
      made.insert(made.end(), row, row + static_cast<std::ptrdiff_t>(row_));
      for (std::size_t i = 0; i < 3; ++i)
        check(row[static_cast<std::ptrdiff_t>(row_ + i)] == kGap, "a gap was written");
    }
    return made;
  }

 private:
  std::int32_t width_, height_;
  std::size_t row_;
  std::vector<std::uint8_t> bytes_;
};

// The caller's own frames, as many as it is told.
struct Room {
  Room(const v2v_bundle_info& info, std::size_t count) : pictures(count, {info.output_width, info.output_height}) {
    for (Strided& each : pictures) frames.push_back(v2v::room(each.data(), each.width(), each.height(), each.stride()));
  }
  void told(Pictures& to, std::size_t count) const {
    for (std::size_t i = 0; i < count; ++i) {
      const v2v_frame& each = frames[i];
      to.push_back({pictures[i].packed(), each.timestamp, each.index, (each.flags & V2V_FRAME_SKIPPED) != 0});
    }
  }
  std::vector<Strided> pictures;
  std::vector<v2v_frame> frames;
};

constexpr int kFrames = 12;

// The same clip by each way of giving and taking frames.
void clips(const v2v::Bundle& bundle) {
  const v2v_bundle_info& info = bundle.info();
  v2v::Stream pushed(bundle, options());
  v2v::Stream halved(bundle, options());
  v2v::Stream own(bundle, options());
  v2v::Stream own_halves(bundle, options());
  Pictures one, two, three, four;
  Strided in(info.input_width, info.input_height);
  const auto most = static_cast<std::size_t>(info.max_frames);
  for (int i = 0; i < kFrames; ++i) {
    const std::vector<std::uint8_t> packed = pixels(bundle, static_cast<unsigned>(i));
    in.fill(packed);
    const v2v_frame given = v2v::frame(in.data(), in.width(), in.height(), in.stride(), 1000 + i);
    add(one, pushed.push(packed, 1000 + i));
    halved.submit(packed, 1000 + i);
    add(two, halved.collect());
    Room room(info, most);
    room.told(three, own.push(given, room.frames));
    own_halves.submit(given);
    Room rest(info, most);
    rest.told(four, own_halves.collect(rest.frames));
    check(pushed.owed() == static_cast<std::size_t>(i + 1) - one.size(), "owed is not what is inside");
  }
  const std::size_t owed = pushed.owed();
  check(owed > 0, "the bundle owes nothing");
  add(one, pushed.flush());
  add(two, halved.flush());
  Room room(info, owed);
  room.told(three, own.flush(room.frames));
  for (const auto& each : own_halves.flush()) add(four, {&each, 1});
  check(one.size() == kFrames && pushed.owed() == 0, "flush does not give every frame");
  for (std::size_t i = 0; i < one.size(); ++i) {
    check(one[i].timestamp == 1000 + static_cast<std::int64_t>(i), "timestamps are out of order");
    check(one[i].index == static_cast<std::int64_t>(i), "indices are out of order");
  }
  check(one == two && one == three && one == four, "the ways of giving and taking frames differ");
  check(refused([&] { pushed.push(in.packed()); }) == V2V_E_ENDED, "an ended stream goes on");
}

void stream_calls(const v2v::Bundle& bundle, char** arguments) {
  long events = 0;
  v2v::StreamOptions given = options();
  given.flags = V2V_STREAM_TIMING;
  given.trace = [&](const char* event) { events += event[0] == '{'; };
  v2v::Stream stream(bundle, std::move(given));
  const std::vector<std::uint8_t> packed = pixels(bundle, 3);
  for (int i = 0; i < kFrames; ++i) stream.push(packed);
  check(events > 0, "no event");
  const v2v_counters counters = stream.counters();
  check(counters.frames_in == kFrames && counters.steps > 0, "counters miss frames");
  const std::vector<v2v_timing> timings = stream.timings();
  check(timings.size() == static_cast<std::size_t>(std::atol(arguments[3])), "not each call is timed");
  std::int64_t runs = 0;
  for (const v2v_timing& each : timings) {
    check(std::strchr(each.call, '/') != nullptr, "a timing's call is not phase/call");
    check(each.runs == 0 ? each.total_ns == 0 : each.total_ns >= each.last_ns && each.last_ns > 0,
          "a call took no time");
    runs += each.runs;
  }
  check(runs == counters.calls, "timings and counters tell other calls");

  const v2v::Snapshot snapshot = stream.snapshot();
  Pictures first, again;
  add(first, stream.push(packed));
  add(first, stream.push(pixels(bundle, 9)));
  stream.restore(snapshot);
  add(again, stream.push(packed));
  add(again, stream.push(pixels(bundle, 9)));
  check(!first.empty() && first == again, "a restored stream is another");

  const v2v_selftest report = stream.selftest();
  check(report.passed == 1 && report.frames == report.expected && report.frames > 0, "the self-test fails");

  const std::vector<float> values(static_cast<std::size_t>(std::atol(arguments[6])), 2.0F);
  const v2v::Param param{arguments[5], V2V_FLOAT32, values.data(), {static_cast<std::int64_t>(values.size())}};
  stream.set_params({&param, 1});
  const v2v::Param none{"no such param", V2V_FLOAT32, values.data(), {1}};
  check(refused([&] { stream.set_params({&none, 1}); }) == 3010, "a param that is not there is set");
  stream.enter(arguments[4]);
  check(refused([&] { stream.enter("no such phase"); }) != V2V_OK, "a phase that is not there is entered");
  stream.reset();
  check(stream.owed() == 0, "a reset leaves frames");
  stream.reset(true);
  check(stream.push(packed).empty(), "a stream that was reset has frames at once");
  check(refused([&] { stream.collect(); }) == V2V_E_ORDER, "a collect without a submit");
  check(refused([&] { stream.push(std::span(packed).first(3)); }) == V2V_E_FRAME_SIZE, "a frame of another size");
  const std::string expected = "the frame has 3 bytes\n  expected: " + std::to_string(packed.size()) + ", ";
  check(words_of([&] { stream.push(std::span(packed).first(3)); }).find(expected) != std::string::npos,
        "no sizes told");
  const std::span<const std::uint8_t> empty;
  check(words_of([&] { stream.submit(empty); }).find("the frame has 0 bytes") != std::string::npos, "no size told");
  stream.submit(packed);
  check(refused([&] { stream.push(std::span(packed).first(3)); }) == V2V_E_ORDER, "a frame comes before a collect");
  stream.collect();
  check(stream.get() != nullptr && stream.info().max_frames == bundle.info().max_frames, "another bundle's stream");
}

// Texts that the C ABI would take for what stands before their NUL, which is right each time.
void texts(const v2v::Bundle& bundle, char** arguments) {
  const std::string rest("\0rest", 5);
  check(refused([&] { v2v::Bundle(arguments[1] + rest); }) == 1001, "a path with a NUL is opened");
  const auto stream_with = [&](std::string v2v::StreamOptions::* text, const std::string& value) {
    v2v::StreamOptions given = options();
    given.*text = value + rest;
    return refused([&] { v2v::Stream(bundle, std::move(given)); });
  };
  check(stream_with(&v2v::StreamOptions::target, bundle.targets().front()) == V2V_E_NO_TARGET, "a target with a NUL");
  check(stream_with(&v2v::StreamOptions::variant, "main") == 4015, "a variant with a NUL is taken");
  check(stream_with(&v2v::StreamOptions::options, options().options) == 4009, "options with a NUL are taken");
  v2v::Stream stream(bundle, options());
  const std::vector<float> values(static_cast<std::size_t>(std::atol(arguments[6])), 2.0F);
  const v2v::Param param{arguments[5] + rest, V2V_FLOAT32, values.data(), {static_cast<std::int64_t>(values.size())}};
  check(refused([&] { stream.set_params({&param, 1}); }) == 3010, "a param's name with a NUL is taken");
  check(refused([&] { stream.enter(arguments[4] + rest); }) == 3030, "a phase's name with a NUL is taken");
}

// A stream that ends, or makes room for another, tells its trace of the late calls that it waited for.
void ends(const v2v::Bundle& bundle) {
  struct Told {
    long late = 0;
    bool gone = false;
  };
  struct Sink {
    explicit Sink(Told& to) : told(to) {}
    Sink(const Sink&) = delete;
    Sink& operator=(const Sink&) = delete;
    ~Sink() { told.gone = true; }
    Told& told;
  };
  const auto with_late = [&](Told& told) {
    v2v::StreamOptions given = options();
    given.trace = [sink = std::make_shared<Sink>(told)](const char* event) {
      check(!sink->told.gone, "a trace was called that is gone");
      sink->told.late += std::strstr(event, "\"event\": \"late\"") != nullptr;
    };
    v2v::Stream stream(bundle, std::move(given));
    for (int i = 0; i < 4; ++i) stream.push(pixels(bundle, static_cast<unsigned>(i)));
    check(told.late == 0, "late calls are told of before anything waits for them");
    return stream;
  };
  Told first, second;
  {
    v2v::Stream stream = with_late(first);
    stream = with_late(second);
    check(first.late == 1 && first.gone, "a stream that made room did not end");
    check(second.late == 0 && !second.gone, "a stream ended as it was moved");
  }
  check(second.late == 1 && second.gone, "a stream did not end");
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 8) return 2;
  try {
    check(v2v::abi_version() == V2V_ABI_VERSION, "another ABI");
    check(v2v::version() == std::string(v2v_version()) && v2v::version()[0] != '\0', "no version");
    Counting counting;
    {
      const v2v::Context context = counting.context();
      const v2v::Bundle bundle(arguments[1], V2V_OPEN_TRUST_SIZES, &context);
      check(context.get() != nullptr && bundle.get() != nullptr && counting.all() > 0, "the context is not used");
      check(bundle.info().input_width > 0 && std::strlen(bundle.info().identity) == 64, "no info");
      const std::vector<std::string> targets = bundle.targets();
      check(targets.size() == static_cast<std::size_t>(std::atol(arguments[2])), "targets are missing");
      v2v::StreamOptions other = options();
      other.target = "no.such";
      check(refused([&] { v2v::Stream(bundle, std::move(other)); }) == V2V_E_NO_TARGET, "a target that is not there");
      for (const std::string& target : targets) {
        v2v::StreamOptions named = options();
        named.target = target;
        v2v::Stream(bundle, std::move(named)).push(pixels(bundle, 1));
      }
      clips(bundle);
      stream_calls(bundle, arguments);
      texts(bundle, arguments);
      ends(v2v::Bundle(arguments[7]));
    }
    check(counting.out == 0, "memory is left");
  } catch (const v2v::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return wrong == 0 ? 0 : 1;
}
