// What programs over the C ABI share: memory that counts, frames, and how streams are opened.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "v2v/v2v.hpp"

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
inline std::vector<std::uint8_t> pixels(const v2v::Bundle& bundle, unsigned value) {
  const auto& info = bundle.info();
  return std::vector<std::uint8_t>(std::size_t{3} * static_cast<std::size_t>(info.input_width * info.input_height),
                                   static_cast<std::uint8_t>(value % 20));
}

inline v2v::StreamOptions options() {
  v2v::StreamOptions made;
  made.options = R"({"threads": 1})";
  return made;
}
