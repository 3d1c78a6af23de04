// The library through its C ABI under stress:
//   v2v_stress failing BUNDLE        each of the library's allocations fails in turn, until a whole run passes
//   v2v_stress steady BUNDLE FRAMES  how often the library allocates per frame after the warm-up
//   v2v_stress memory BUNDLE OPENS STREAMS  bundles opened and closed, streams made, run one step and destroyed
//   v2v_stress threads BUNDLE FRAMES two streams of one bundle in two threads, and two threads on one stream
// Each prints one line of JSON; it ends with 1 where something is wrong.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <thread>

#include <malloc.h>
#include <unistd.h>

#include "v2v/v2v.hpp"

namespace {

constexpr const char* kOptions = R"({"threads": 1})";

// Memory that fails on demand and knows what is out.
struct Counting {
  std::atomic<long> asked{0};
  std::atomic<long> out{0};
  long fail_at = 0;  // 0: never

  static void* take(void* user, std::size_t size, std::size_t alignment) {
    auto& self = *static_cast<Counting*>(user);
    if (++self.asked == self.fail_at) return nullptr;
    void* block = std::aligned_alloc(alignment, size);
    if (block != nullptr) ++self.out;
    return block;
  }
  static void give(void* user, void* block, std::size_t /*size*/, std::size_t /*alignment*/) {
    --static_cast<Counting*>(user)->out;
    std::free(block);
  }
  v2v::Context context() {
    v2v_context_options options{};
    options.allocate = take;
    options.release = give;
    options.allocator_user = this;
    return v2v::Context(options);
  }
};

// Values that no synthetic program takes for a bad frame.
std::vector<std::uint8_t> pixels(const v2v::Bundle& bundle, unsigned value) {
  const auto& info = bundle.info();
  return std::vector<std::uint8_t>(std::size_t{3} * static_cast<std::size_t>(info.input_width * info.input_height),
                                   static_cast<std::uint8_t>(value % 20));
}

v2v::StreamOptions options() {
  v2v::StreamOptions made;
  made.options = kOptions;
  return made;
}

// One of everything that a program does.
void everything(const char* path, const v2v::Context& context) {
  const v2v::Bundle bundle(path, 0, &context);
  v2v::Stream stream(bundle, options());
  const auto frame = pixels(bundle, 3);
  for (int i = 0; i < 5; ++i) stream.push(frame);
  const v2v::Snapshot snapshot = stream.snapshot();
  stream.push(frame);
  stream.restore(snapshot);
  stream.flush();
  stream.reset(true);
  stream.push(frame);
}

int failing(const char* path) {
  std::map<int, long> codes;
  for (long n = 1;; ++n) {
    Counting counting;
    counting.fail_at = n;
    bool failed = false;
    try {
      const v2v::Context context = counting.context();
      everything(path, context);
    } catch (const v2v::Error& error) {
      failed = true;
      ++codes[error.status()];
    }
    if (counting.out != 0) {
      std::printf("{\"leaked\": %ld, \"at\": %ld}\n", counting.out.load(), n);
      return 1;
    }
    if (failed) continue;
    if (counting.asked >= n) {
      std::printf("{\"unnoticed\": %ld}\n", n);
      return 1;
    }
    std::string listed;
    for (const auto& [code, times] : codes) {
      listed += (listed.empty() ? "\"" : ", \"") + std::to_string(code) + "\": " + std::to_string(times);
    }
    std::printf("{\"allocations\": %ld, \"codes\": {%s}}\n", n - 1, listed.c_str());
    return 0;
  }
}

int steady(const char* path, long frames) {
  Counting counting;
  const v2v::Context context = counting.context();
  const v2v::Bundle bundle(path, 0, &context);
  v2v::Stream stream(bundle, options());
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

int memory(const char* path, long opens, long streams) {
  const auto once = [&] {
    const v2v::Bundle bundle(path);
    v2v::Stream stream(bundle, options());
    stream.push(pixels(bundle, 1));
  };
  for (int i = 0; i < 20; ++i) once();  // what the libraries keep once
  const long start = resident_bytes();
  for (long i = 0; i < opens; ++i) const v2v::Bundle bundle(path);
  const long after_opens = resident_bytes();
  const v2v::Bundle bundle(path);
  for (long i = 0; i < streams; ++i) {
    v2v::Stream stream(bundle, options());
    stream.push(pixels(bundle, 1));
  }
  std::printf("{\"opens\": %ld, \"streams\": %ld, \"opens_grew\": %ld, \"grew\": %ld}\n", opens, streams,
              after_opens - start, resident_bytes() - start);
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
    if (is("failing", 3)) return failing(arguments[2]);
    if (is("steady", 4)) return steady(arguments[2], std::atol(arguments[3]));
    if (is("memory", 5)) return memory(arguments[2], std::atol(arguments[3]), std::atol(arguments[4]));
    if (is("threads", 4)) return threads(arguments[2], std::atol(arguments[3]));
  } catch (const v2v::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 2;
}
