// The library's own operator new and delete. The version script keeps them inside the library, so a program that links
// it keeps its own.
#include "alloc.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace v2v_core {
namespace {

thread_local Allocator active;

// Stands right before each block that is handed out.
struct Header {
  void (*release)(void* user, void* block, std::size_t size, std::size_t alignment);
  void* user;
  void* base;
  std::size_t size;
  std::size_t alignment;
  std::size_t padding;  // to a multiple of 16 bytes
};
static_assert(sizeof(Header) % alignof(std::max_align_t) == 0);

void* take(std::size_t size, std::size_t alignment) {
  const std::size_t aligned = std::max(alignment, alignof(std::max_align_t));
  // The header lies in whole units of the alignment, so that what follows it is aligned too.
  const std::size_t before = (sizeof(Header) + aligned - 1) / aligned * aligned;
  if (size > SIZE_MAX - before - aligned) return nullptr;
  const std::size_t whole = (before + size + aligned - 1) / aligned * aligned;
  void* base = active.allocate != nullptr            ? active.allocate(active.user, whole, aligned)
               : aligned > alignof(std::max_align_t) ? std::aligned_alloc(aligned, whole)
                                                     : std::malloc(whole);
  if (base == nullptr) return nullptr;
  const Header header{active.allocate != nullptr ? active.release : nullptr, active.user, base, whole, aligned, 0};
  char* block = static_cast<char*>(base) + before;
  std::memcpy(block - sizeof header, &header, sizeof header);
  return block;
}

void give_back(void* block) {
  if (block == nullptr) return;
  Header header;
  std::memcpy(&header, static_cast<char*>(block) - sizeof header, sizeof header);
  if (header.release != nullptr) {
    header.release(header.user, header.base, header.size, header.alignment);
  } else {
    std::free(header.base);
  }
}

void* take_or_throw(std::size_t size, std::size_t alignment) {
  void* block = take(size, alignment);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

}  // namespace

const Allocator& Allocator::current() { return active; }

AllocatorScope::AllocatorScope(const Allocator& allocator) : before_(active) { active = allocator; }
AllocatorScope::~AllocatorScope() { active = before_; }

}  // namespace v2v_core

void* operator new(std::size_t size) { return v2v_core::take_or_throw(size, 1); }
void* operator new[](std::size_t size) { return v2v_core::take_or_throw(size, 1); }
void* operator new(std::size_t size, std::align_val_t at) { return v2v_core::take_or_throw(size, std::size_t(at)); }
void* operator new[](std::size_t size, std::align_val_t at) { return v2v_core::take_or_throw(size, std::size_t(at)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return v2v_core::take(size, 1); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return v2v_core::take(size, 1); }
void* operator new(std::size_t size, std::align_val_t at, const std::nothrow_t&) noexcept {
  return v2v_core::take(size, std::size_t(at));
}
void* operator new[](std::size_t size, std::align_val_t at, const std::nothrow_t&) noexcept {
  return v2v_core::take(size, std::size_t(at));
}
void operator delete(void* block) noexcept { v2v_core::give_back(block); }
void operator delete[](void* block) noexcept { v2v_core::give_back(block); }
void operator delete(void* block, std::size_t) noexcept { v2v_core::give_back(block); }
void operator delete[](void* block, std::size_t) noexcept { v2v_core::give_back(block); }
void operator delete(void* block, std::align_val_t) noexcept { v2v_core::give_back(block); }
void operator delete[](void* block, std::align_val_t) noexcept { v2v_core::give_back(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { v2v_core::give_back(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { v2v_core::give_back(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { v2v_core::give_back(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { v2v_core::give_back(block); }
