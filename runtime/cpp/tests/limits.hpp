// What one fuzzed input may take: a second of the processor's time, and 256 MB of the library's memory at once. More of
// either ends the program, as does a code of another kind than readers give.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "alloc.hpp"
#include "error.hpp"

namespace v2v_test {

inline constexpr std::size_t kMostBytes = std::size_t{256} << 20U;
inline constexpr double kMostSeconds = 1;

[[noreturn]] inline void stop(const char* why, double value) {
  std::fprintf(stderr, "%s: %g\n", why, value);
  std::abort();
}

// Memory that is out, and the most that ever was.
struct Memory {
  std::size_t out = 0;
  std::size_t most = 0;

  static void* take(void* user, std::size_t size, std::size_t alignment) {
    auto& self = *static_cast<Memory*>(user);
    self.out += size;
    if (self.out > self.most) self.most = self.out;
    if (self.most > kMostBytes) stop("bytes of one input", static_cast<double>(self.most));
    return std::aligned_alloc(alignment, size);
  }
  static void give(void* user, void* block, std::size_t size, std::size_t /*alignment*/) {
    static_cast<Memory*>(user)->out -= size;
    std::free(block);
  }
};

// The most that one input has taken; told when the program ends.
struct Most {
  double seconds = 0;
  std::size_t bytes = 0;
  ~Most() { std::fprintf(stderr, "most of one input: %.6f s, %zu bytes\n", seconds, bytes); }
};
inline Most most;

// Runs what reads one input. Nothing that it allocated may stay.
template <class Read>
void limited(const Read& read) {
  Memory memory;
  const std::clock_t start = std::clock();  // the processor's time: others may share the machine
  {
    const v2v_core::AllocatorScope scope({Memory::take, Memory::give, &memory});
    read();
  }
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  if (seconds > kMostSeconds) stop("seconds of one input", seconds);
  if (memory.out != 0) stop("bytes left", static_cast<double>(memory.out));
  most.seconds = std::max(most.seconds, seconds);
  most.bytes = std::max(most.bytes, memory.most);
}

// Runs one reader: it gives a value, or an error of bundles and manifests. Says which.
template <class Read>
bool attempt(const Read& read) {
  try {
    read();
    return true;
  } catch (const v2v_core::Error& error) {
    if (error.code < 1000 || error.code > 2999) stop("a code of another kind", error.code);
    return false;
  }
}

}  // namespace v2v_test
