// Where the library's memory comes from. Every call from outside enters a scope with its context's allocator; each
// block remembers how it is given back, so it may be freed under any scope, or under none.
#pragma once

#include <cstddef>

namespace v2v_core {

struct Allocator {
  void* (*allocate)(void* user, std::size_t size, std::size_t alignment) = nullptr;  // null: the C library's
  void (*release)(void* user, void* block, std::size_t size, std::size_t alignment) = nullptr;
  void* user = nullptr;

  static const Allocator& current();
};

// Makes `allocator` the current one of this thread.
class AllocatorScope {
 public:
  explicit AllocatorScope(const Allocator& allocator);
  ~AllocatorScope();
  AllocatorScope(const AllocatorScope&) = delete;
  AllocatorScope& operator=(const AllocatorScope&) = delete;

 private:
  Allocator before_;
};

}  // namespace v2v_core
