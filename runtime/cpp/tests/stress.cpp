// The library through its C ABI under stress:
//   v2v_stress steady|timed BUNDLE FRAMES  how often the library allocates per frame after the warm-up, also with times
//   v2v_stress memory BUNDLE OPENS STREAMS  bundles opened and closed, streams made, run one step and destroyed: how
//                                    much larger the process is then, and how much more is taken from malloc
// Each prints one line of JSON; it ends with 1 where something is wrong. v2v_threads is the same for threads.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

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
  const long before = counting.all();
  for (long i = 0; i < frames; ++i) stream.push(frame);
  std::printf("{\"allocations\": %ld, \"frames\": %ld}\n", counting.all() - before, frames);
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

}  // namespace

int main(int count, char** arguments) {
  const auto is = [&](const char* mode, int wanted) { return count == wanted && std::strcmp(arguments[1], mode) == 0; };
  try {
    if (is("steady", 4)) return steady(arguments[2], std::atol(arguments[3]), 0);
    if (is("timed", 4)) return steady(arguments[2], std::atol(arguments[3]), V2V_STREAM_TIMING);
    if (is("memory", 5)) return memory(arguments[2], std::atol(arguments[3]), std::atol(arguments[4]));
  } catch (const v2v::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 2;
}
