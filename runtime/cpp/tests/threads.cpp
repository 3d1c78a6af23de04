// Streams and threads, through the C ABI:
//   v2v_threads streams BUNDLE FRAMES  two streams of one bundle, each in a thread of its own
//   v2v_threads inside BUNDLE FRAMES   every call from a second thread while a push is inside: the push waits in its
//   trace
//                                      callback until all of them have returned
//   v2v_threads pushes BUNDLE FRAMES   two threads push into one stream until both have been refused
//   v2v_threads destroys BUNDLE STREAMS  one thread pushes until its stream is gone, another destroys it; the first
//   push
//                                      waits inside until a destroy was refused
//   v2v_threads gone BUNDLE            what a destroyed stream keeps while a call that it refuses has not returned
// Each prints one line of JSON; a stream that gave other frames than one that nobody disturbed is "same": 0. It ends
// with 1 where something failed, and where no push was refused in a thousand times as many frames as were asked for.
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <latch>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include "caller.hpp"
#include "counting.hpp"

namespace {

constexpr long kBound = 1000;

// What a stream that nobody disturbs makes of the frames.
Clip alone(const v2v::Bundle& bundle, long frames) {
  const v2v::Stream stream(bundle, options());
  Caller caller(bundle, stream.get());
  for (long i = 0; i < frames; ++i) {
    if (caller.push() != V2V_OK) return {};
  }
  return caller.flush() == V2V_OK ? std::move(caller.shown) : Clip();
}

int streams(const char* path, long frames) {
  const v2v::Bundle bundle(path);
  const Clip expected = alone(bundle, frames);
  std::latch start{2};
  std::atomic<long> shown{0};
  std::atomic<long> same{0};
  const auto play = [&] {
    start.arrive_and_wait();
    const Clip found = alone(bundle, frames);
    shown += static_cast<long>(found.size());
    same += found == expected ? 1 : 0;
  };
  std::thread first(play);
  std::thread second(play);
  first.join();
  second.join();
  std::printf("{\"shown\": %ld, \"same\": %ld}\n", shown.load(), same.load());
  return 0;
}

int inside(const char* path, long frames) {
  const v2v::Bundle bundle(path);
  std::map<std::string, std::map<v2v_status, long>> codes;
  std::latch* entered = nullptr;  // of the push that is to wait
  std::latch* answered = nullptr;
  v2v::StreamOptions choice = options();
  choice.trace = [&](const char* /*event*/) {
    if (entered == nullptr) return;
    std::exchange(entered, nullptr)->count_down();
    answered->wait();
  };
  const v2v::Stream stream(bundle, std::move(choice));
  Caller caller(bundle, stream.get());
  long accepted = 0;
  for (long i = 0; i < frames; ++i) {
    std::latch in{1};
    std::latch out{1};
    std::thread other([&] {
      in.wait();
      for (const auto& [name, status] : Caller(bundle, stream.get()).all()) ++codes[name][status];
      out.count_down();
    });
    answered = &out;
    entered = &in;
    accepted += caller.push() == V2V_OK ? 1 : 0;
    if (std::exchange(entered, nullptr) != nullptr) {
      std::fputs("a push told nothing of itself\n", stderr);
      std::abort();
    }
    other.join();
  }
  if (caller.flush() != V2V_OK) return 1;
  std::string listed;
  for (const auto& [name, found] : codes) {
    for (const auto& [status, times] : found) {
      listed += (listed.empty() ? "[\"" : ", [\"") + name + "\", " + std::to_string(status) + ", " +
                std::to_string(times) + "]";
    }
  }
  std::printf("{\"accepted\": %ld, \"same\": %d, \"codes\": [%s]}\n", accepted,
              caller.shown == alone(bundle, accepted) ? 1 : 0, listed.c_str());
  return 0;
}

int pushes(const char* path, long frames) {
  const v2v::Bundle bundle(path);
  const v2v::Stream stream(bundle, options());
  std::latch start{2};
  std::atomic<long> accepted{0};
  std::atomic<long> others{0};
  std::array<std::atomic<long>, 2> refused{};
  Caller one(bundle, stream.get());
  Caller two(bundle, stream.get());
  const auto play = [&](Caller& caller, std::size_t me) {
    start.arrive_and_wait();
    long pushed = 0;
    while (accepted < frames * kBound && (accepted < frames || refused[0] == 0 || refused[1] == 0)) {
      const v2v_status status = caller.push();
      ++(status == V2V_OK ? accepted : status == V2V_E_BUSY ? refused[me] : others);
      // With one core for both: who is refused lets the other go on, and both come to be the one that pushes.
      if (status == V2V_E_BUSY || ++pushed % 64 == 0) std::this_thread::yield();
      if (status != V2V_OK && status != V2V_E_BUSY) return;
    }
  };
  std::thread first(play, std::ref(one), 0);
  std::thread second(play, std::ref(two), 1);
  first.join();
  second.join();
  const v2v_counters counters = stream.counters();
  if (one.flush() != V2V_OK) return 1;
  const std::size_t shown = one.shown.size() + two.shown.size();
  one.shown.merge(two.shown);
  std::printf("{\"accepted\": %ld, \"refused\": [%ld, %ld], \"others\": %ld, \"frames_in\": %ld, \"failed\": %ld, ",
              accepted.load(), refused[0].load(), refused[1].load(), others.load(),
              static_cast<long>(counters.frames_in), static_cast<long>(counters.failed));
  std::printf("\"shown\": %zu, \"same\": %d}\n", shown, one.shown == alone(bundle, accepted) ? 1 : 0);
  return refused[0] != 0 && refused[1] != 0 ? 0 : 1;
}

int destroys(const char* path, long wanted) {
  Counting counting;
  long made = 0;
  long kept = 0;
  std::map<v2v_status, long> pushed;
  std::map<v2v_status, long> destroyed;
  {
    const v2v::Context context = counting.context();
    const v2v::Bundle bundle(path, 0, &context);
    alone(bundle, 1);  // what the bundle keeps once
    const v2v::Stream holder(bundle, options());
    const long before = counting.out;
    for (; made < wanted; ++made) {
      std::latch inside{1};
      std::latch refused{1};
      v2v::StreamOptions choice = options();
      bool first = false;  // the push that waits for a refusal
      choice.trace = [&](const char* /*event*/) {
        if (!std::exchange(first, false)) return;
        inside.count_down();
        refused.wait();
      };
      const v2v::Stream owner(bundle, std::move(choice));
      v2v_stream* const stream = owner.get();
      first = true;
      std::thread other([&] {
        Caller caller(bundle, stream);
        v2v_status status = V2V_OK;
        while (status == V2V_OK || status == V2V_E_BUSY) {
          status = caller.push();
          ++pushed[status];
          std::this_thread::yield();
        }
      });
      inside.wait();
      ++destroyed[v2v_stream_destroy(stream)];
      refused.count_down();
      v2v_status status = V2V_E_BUSY;
      while (status == V2V_E_BUSY) {
        status = v2v_stream_destroy(stream);
        ++destroyed[status];
        std::this_thread::yield();
      }
      other.join();
    }
    kept = counting.out - before;
  }
  std::string listed;
  for (const auto* found : {&pushed, &destroyed}) {
    listed += found == &pushed ? "\"pushed\": {" : "}, \"destroyed\": {";
    for (const auto& [status, times] : *found) {
      listed += (listed.back() == '{' ? "\"" : ", \"") + std::to_string(status) + "\": " + std::to_string(times);
    }
  }
  std::printf("{\"streams\": %ld, %s}, \"kept\": %ld, \"left\": %ld}\n", made, listed.c_str(), kept,
              counting.out.load());
  return 0;
}

// The refused call stands in the logger until the stream was destroyed.
struct Logger {
  std::latch told{1};
  std::latch go_on{1};
  std::atomic<bool> armed{false};

  static void log(void* user, v2v_log_level /*level*/, const char* /*message*/) {
    auto& self = *static_cast<Logger*>(user);
    if (!self.armed.exchange(false)) return;
    self.told.count_down();
    self.go_on.wait();
  }
};

int gone(const char* path) {
  Counting counting;
  Logger logger;
  const v2v::Context context = counting.context(Logger::log, &logger);
  const v2v::Bundle bundle(path, 0, &context);
  alone(bundle, 1);  // what the bundle keeps once
  const long before = counting.out;

  struct Meeting {
    std::latch inside{1};
    Logger* logger = nullptr;
    bool awaited = false;
  } meeting;
  meeting.logger = &logger;
  auto choice = v2v::detail::sized<v2v_stream_options>();
  choice.options = R"({"threads": 1})";
  choice.trace = [](void* user, const char* /*event*/) {
    auto& of = *static_cast<Meeting*>(user);
    if (!std::exchange(of.awaited, false)) return;
    of.logger->armed = true;
    of.inside.count_down();
    of.logger->told.wait();
  };
  choice.trace_user = &meeting;
  v2v_stream* stream = nullptr;
  if (v2v_stream_create(bundle.get(), &choice, &stream, nullptr) != V2V_OK) return 1;
  const long made = counting.out - before;
  meeting.awaited = true;
  v2v_status refused = V2V_OK;
  std::thread other([&] {
    meeting.inside.wait();
    refused = v2v_stream_reset(stream, 0, nullptr);
  });
  Caller caller(bundle, stream);
  if (caller.push() != V2V_OK || meeting.awaited) std::abort();
  const v2v_status destroyed = v2v_stream_destroy(stream);
  const v2v_status again = v2v_stream_destroy(stream);
  const long kept = counting.out - before;
  logger.go_on.count_down();
  other.join();
  std::printf("{\"refused\": %d, \"destroyed\": %d, \"again\": %d, \"made\": %ld, \"kept\": %ld, \"left\": %ld}\n",
              refused, destroyed, again, made, kept, counting.out - before);
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const auto is = [&](const char* mode, int wanted) { return count == wanted && std::strcmp(arguments[1], mode) == 0; };
  try {
    if (is("streams", 4)) return streams(arguments[2], std::atol(arguments[3]));
    if (is("inside", 4)) return inside(arguments[2], std::atol(arguments[3]));
    if (is("pushes", 4)) return pushes(arguments[2], std::atol(arguments[3]));
    if (is("destroys", 4)) return destroys(arguments[2], std::atol(arguments[3]));
    if (is("gone", 3)) return gone(arguments[2]);
  } catch (const v2v::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 2;
}
