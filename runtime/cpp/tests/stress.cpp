// The library through its C ABI under stress:
//   v2v_stress steady|timed BUNDLE FRAMES  how often the library allocates per frame after the warm-up, also with times
//   v2v_stress memory BUNDLE OPENS STREAMS  bundles opened and closed, streams made, run one step and destroyed: how
//                                    much larger the process is then, and how much more is taken from malloc
//   v2v_stress threads BUNDLE FRAMES two streams of one bundle in two threads, and two threads on one stream
// Each prints one line of JSON; it ends with 1 where something is wrong.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include <malloc.h>
#include <unistd.h>

#include "counting.hpp"

namespace {

int steady(const char* path, long frames, std::uint32_t flags) {
  Counting counting;
  const v2v::Context context = counting.context();
  const v2v::Bundle bundle(path, 0, &context);
  v2v::StreamOptions choice = options();
  choice.flags = flags;
  v2v::Stream stream(bundle, std::move(choice));
  const auto frame = pixels(bundle, 3);
  for (long i = 0; i < frames; ++i) stream.push(frame);
  const long before = counting.asked;
  for (long i = 0; i < frames; ++i) stream.push(frame);
  std::printf("{\"allocations\": %ld, \"frames\": %ld}\n", counting.asked - before, frames);
  return 0;
}

long resident_bytes() {
  malloc_trim(0);
  std::ifstream file("/proc/self/statm");
  long whole = 0;
  long resident = 0;
  file >> whole >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// What of malloc's memory is taken. Neither pages nor gaps between blocks count, so that little tells.
long taken_bytes() {
  const struct mallinfo2 now = mallinfo2();
  return static_cast<long>(now.uordblks + now.hblkhd);
}

int memory(const char* path, long opens, long streams) {
  const auto step = [](const v2v::Bundle& bundle) {
    v2v::Stream stream(bundle, options());
    stream.push(pixels(bundle, 1));
  };
  for (int i = 0; i < 20; ++i) step(v2v::Bundle(path));  // what the libraries keep once
  const long start = resident_bytes();
  const long taken = taken_bytes();
  for (long i = 0; i < opens; ++i) const v2v::Bundle bundle(path);
  const long after_opens = resident_bytes();
  const long taken_after_opens = taken_bytes();
  {
    const v2v::Bundle bundle(path);
    for (long i = 0; i < streams; ++i) step(bundle);
  }
  const long end = resident_bytes();
  const long taken_at_end = taken_bytes();
  std::printf("{\"opens\": %ld, \"streams\": %ld, \"opens_grew\": %ld, \"grew\": %ld, ", opens, streams,
              after_opens - start, end - start);
  std::printf("\"opens_kept\": %ld, \"streams_kept\": %ld}\n", taken_after_opens - taken,
              taken_at_end - taken_after_opens);
  return 0;
}

int threads(const char* path, long frames) {
  const v2v::Bundle bundle(path);
  std::atomic<long> shown{0};
  const auto play = [&](unsigned seed) {
    v2v::Stream stream(bundle, options());
    for (long i = 0; i < frames; ++i) {
      shown += static_cast<long>(stream.push(pixels(bundle, seed + static_cast<unsigned>(i))).size());
    }
  };
  std::thread first(play, 1);
  std::thread second(play, 2);
  first.join();
  second.join();

  v2v::Stream shared(bundle, options());
  std::atomic<long> refused{0};
  std::atomic<long> others{0};
  const auto ask = [&] {
    v2v_error error{};
    error.struct_size = sizeof error;
    for (long i = 0; i < frames * 20; ++i) {
      const v2v_status status = v2v_stream_reset(shared.get(), 0, &error);
      if (status == V2V_E_BUSY) {
        ++refused;
      } else if (status != V2V_OK) {
        ++others;
      }
    }
  };
  std::thread third(ask);
  std::thread fourth(ask);
  third.join();
  fourth.join();
  std::printf("{\"shown\": %ld, \"refused\": %ld, \"others\": %ld}\n", shown.load(), refused.load(), others.load());
  return others == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  const auto is = [&](const char* mode, int wanted) { return count == wanted && std::strcmp(arguments[1], mode) == 0; };
  try {
    if (is("steady", 4)) return steady(arguments[2], std::atol(arguments[3]), 0);
    if (is("timed", 4)) return steady(arguments[2], std::atol(arguments[3]), V2V_STREAM_TIMING);
    if (is("memory", 5)) return memory(arguments[2], std::atol(arguments[3]), std::atol(arguments[4]));
    if (is("threads", 4)) return threads(arguments[2], std::atol(arguments[3]));
  } catch (const v2v::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 2;
}
