// What programs over the C ABI share: memory that counts, frames, and how streams are opened.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <thread>
#include <vector>

#include "v2v/v2v.hpp"

// Memory that fails on demand and knows what is out.
struct Counting {
  // What an allocation is for, as far as the hook can tell: tensors alone ask for more than the common alignment, and
  // another thread than the one that made this is a stream's own, on which late calls run.
  enum Kind : std::uint8_t { plain, tensor, late, kinds };

  std::array<std::atomic<long>, kinds> asked{};
  std::atomic<long> out{0};
  Kind fail_kind = plain;
  long fail_at = 0;  // which of `fail_kind` fails; 0: none
  const std::thread::id here = std::this_thread::get_id();

  static void* take(void* user, std::size_t size, std::size_t alignment) {
    auto& self = *static_cast<Counting*>(user);
    const Kind kind = std::this_thread::get_id() != self.here ? late
                      : alignment > alignof(std::max_align_t) ? tensor
                                                              : plain;
    if (++self.asked[kind] == self.fail_at && kind == self.fail_kind) return nullptr;
    void* block = std::aligned_alloc(alignment, size);
    if (block != nullptr) ++self.out;
    return block;
  }
  static void give(void* user, void* block, std::size_t /*size*/, std::size_t /*alignment*/) {
    --static_cast<Counting*>(user)->out;
    std::free(block);
  }

  // From now on the `nth` of a kind fails, counted from here; 0: none.
  void fail(Kind kind, long nth) {
    for (auto& each : asked) each = 0;
    fail_kind = kind;
    fail_at = nth;
  }
  long all() const { return asked[plain] + asked[tensor] + asked[late]; }

  v2v::Context context(void (*log)(void*, v2v_log_level, const char*) = nullptr, void* log_user = nullptr) {
    v2v_context_options options{};
    options.allocate = take;
    options.release = give;
    options.allocator_user = this;
    options.log = log;
    options.log_user = log_user;
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
