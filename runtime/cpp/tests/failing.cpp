// Each of the library's allocations fails in turn, n = 1, 2, ... until a whole run passes:
//   v2v_failing BUNDLE PHASE keeps|loads whole|stream STEP [PARAM SIZE]
// A run is one of everything that a program does, from the opening of the bundle on; or, `stream`, what a stream does
// of a bundle that is open and whose engines another stream holds, which takes a fraction of the time. It enters PHASE,
// and sets PARAM of shape [SIZE] if it is given; `loads`: the bundle has engines that are loaded with their phase. What
// failed is done once more, and must then end as if it had not failed: nothing lost, nothing done twice. What late
// calls would have written is lost where one of them fails, as V2V-E3024 says. Tensors, what late calls ask for in
// their thread, and everything else are counted each for itself, so that how the threads run beside each other makes no
// difference. Of everything else each STEPth fails. Prints {"failed": {kind: allocations that failed, ...}, "codes":
// {code: how often, ...}}, or what is wrong, and then ends with 1.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "counting.hpp"

namespace {

struct Given {
  const char* bundle;
  const char* phase;
  const char* param;  // null: none
  long size;
  bool loads;  // engines with a phase
  bool whole;
  long step;
};

// One run, and what came of it.
class Run {
 public:
  Run(Counting& counting, const Given& given) : given_(given) {
    const v2v::Context context = again([&] { return counting.context(); });
    const v2v::Bundle bundle = again([&] { return v2v::Bundle(given.bundle, 0, &context); });
    again([&] { return bundle.targets(); });
    play(bundle);
  }
  Run(const v2v::Bundle& bundle, const Given& given) : given_(given) { play(bundle); }

  std::vector<std::uint8_t> shown;  // every frame that came out: pixels, timestamp, index
  int code = 0;                     // what the first failure gave; 0: none
  bool late = false;                // late calls failed
  long events = 0;

 private:
  void play(const v2v::Bundle& bundle) {
    v2v::Stream stream = again([&] { return v2v::Stream(bundle, with_trace()); });
    stream_ = &stream;
    frame_ = pixels(bundle, 3);
    everything();
  }

  v2v::StreamOptions with_trace() {
    v2v::StreamOptions made = options();
    made.flags = V2V_STREAM_TIMING;
    made.trace = [this](const char* /*event*/) { ++events; };
    return made;
  }

  void told(const v2v::Error& error) {
    if (code != 0) throw error;  // one allocation fails in a run
    code = error.status();
    late = code == V2V_E_LATE;
  }

  // A call, once more if it failed.
  template <class Call>
  auto again(const Call& call) -> decltype(call()) {
    try {
      return call();
    } catch (const v2v::Error& error) {
      told(error);
    }
    return call();
  }

  void note(std::span<const v2v::Shown> frames) {
    for (const v2v::Shown& frame : frames) {
      shown.insert(shown.end(), frame.pixels.begin(), frame.pixels.end());
      for (const std::int64_t number : {frame.timestamp, frame.index}) {
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(&number);
        shown.insert(shown.end(), bytes, bytes + sizeof number);
      }
    }
  }

  // A step that failed took all frames that were staged for it.
  void push() {
    const std::size_t before = stream_->owed();  // NOLINT(clang-analyzer-deadcode.DeadStores): the loop reads it
    try {
      note(stream_->push(frame_));
      return;
    } catch (const v2v::Error& error) {
      told(error);
    }
    for (std::size_t taken = stream_->owed(); taken <= before; ++taken) note(stream_->push(frame_));
  }

  // It leaves the stream as it was, but where the engines of its phase could not be loaded again.
  void test_itself() {
    const v2v::Snapshot before = again([&] { return stream_->snapshot(); });
    try {
      stream_->selftest();
      return;
    } catch (const v2v::Error& error) {
      told(error);
    }
    if (given_.loads) stream_->restore(before);
    stream_->selftest();
  }

  // What fails late is told by the next call, and only there: no call that forgets it comes before one that tells.
  void everything() {
    for (int i = 0; i < 5; ++i) push();
    if (given_.param != nullptr) {
      const std::vector<float> values(static_cast<std::size_t>(given_.size), 2.0F);
      const v2v::Param param{given_.param, V2V_FLOAT32, values.data(), {given_.size}};
      again([&] { stream_->set_params({&param, 1}); });
      push();
    }
    again([&] { stream_->enter(given_.phase); });
    for (int i = 0; i < 5; ++i) push();
    again([&] { return stream_->timings(); });
    test_itself();
    const v2v::Snapshot snapshot = again([&] { return stream_->snapshot(); });
    push();
    again([&] { return stream_->snapshot(); });
    again([&] { stream_->restore(snapshot); });
    note(again([&] { return stream_->flush(); }));
    again([&] { stream_->reset(true); });
    push();
    again([&] { return stream_->snapshot(); });
  }

  const Given given_;
  v2v::Stream* stream_ = nullptr;
  std::vector<std::uint8_t> frame_;
};

constexpr std::array<const char*, Counting::kinds> kNames{"plain", "tensor", "late"};

int wrong(const char* what, Counting::Kind kind, long at) {
  std::printf("{\"%s\": \"%s %ld\"}\n", what, kNames[kind], at);
  return 1;
}

// One more member of a JSON object.
std::string member(const std::string& before, const std::string& name, long value) {
  return (before.empty() ? "\"" : ", \"") + name + "\": " + std::to_string(value);
}

// Until a run passes; `once` is one run.
template <class Once>
int sweep(Counting& counting, const Given& given, const Once& once) {
  const Run good = once();
  if (good.code != 0 || good.events == 0 || good.shown.empty()) return wrong("failed for no reason", {}, good.code);
  const long base = counting.out;  // what an open bundle keeps
  if (given.whole && base != 0) return wrong("leaked", {}, 0);
  std::map<int, long> codes;
  std::string failed;
  for (const Counting::Kind kind : {Counting::plain, Counting::tensor, Counting::late}) {
    const long step = kind == Counting::plain ? given.step : 1;
    for (long n = 1;; n += step) {
      counting.fail(kind, n);
      const Run found = once();
      if (counting.out != base) return wrong("leaked", kind, n);
      if (!found.late && found.shown != good.shown) return wrong("other frames", kind, n);
      if (found.code == 0) {
        if (counting.asked[kind] >= n) return wrong("unnoticed", kind, n);
        failed += member(failed, kNames[kind], (n - 1) / step);
        break;
      }
      ++codes[found.code];
    }
  }
  std::string listed;
  for (const auto& [code, times] : codes) listed += member(listed, std::to_string(code), times);
  std::printf("{\"failed\": {%s}, \"codes\": {%s}}\n", failed.c_str(), listed.c_str());
  return 0;
}

int run(const Given& given) {
  Counting counting;
  if (given.whole) return sweep(counting, given, [&] { return Run(counting, given); });
  const v2v::Context context = counting.context();
  const v2v::Bundle bundle(given.bundle, 0, &context);
  const v2v::Stream holder(bundle, options());
  return sweep(counting, given, [&] { return Run(bundle, given); });
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 6 && count != 8) return 2;
  const bool loads = std::strcmp(arguments[3], "loads") == 0;
  const bool whole = std::strcmp(arguments[4], "whole") == 0;
  const long step = std::atol(arguments[5]);
  if (step < 1) return 2;
  const char* param = count == 8 ? arguments[6] : nullptr;
  try {
    return run({arguments[1], arguments[2], param, param == nullptr ? 0 : std::atol(arguments[7]), loads, whole, step});
  } catch (const v2v::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
