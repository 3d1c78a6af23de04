#include "abi/handles.hpp"

#include <array>
#include <mutex>

#include "error.hpp"

namespace v2v_core::abi {
namespace {

// A handle's bits: 16 of the place in the table (from 1), 48 of how often the place was used before.
constexpr std::size_t kPlaces = 1U << 15U;

struct Place {
  std::shared_ptr<void> object;
  std::uint64_t uses = 0;
  std::uint32_t next_free = 0;
  Kind kind = Kind::none;
};

struct Table {
  std::mutex lock;
  std::array<Place, kPlaces> places;
  std::uint32_t first_free = 0;  // plus one
  std::uint32_t never_used = 1;
};

// Never destroyed: what a program leaves open when it ends, it leaves to the system.
union Forever {
  constexpr Forever() : value{} {}
  ~Forever() {}
  Table value;
};
constinit Forever forever;
Table& table = forever.value;

void* encode(std::size_t place, std::uint64_t uses) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): a handle is a number that is never followed
  return reinterpret_cast<void*>(static_cast<std::uintptr_t>(uses << 16U | place));
}

Place& find(Kind kind, const void* handle) {
  if (handle == nullptr) throw Error{3100, "a null handle", "one that was made and not destroyed yet"};
  const auto bits = reinterpret_cast<std::uintptr_t>(handle);
  const std::size_t place = bits & 0xFFFFU;
  if (place == 0 || place >= kPlaces || table.places[place].kind != kind || table.places[place].uses != bits >> 16U) {
    throw Error{3101, "a handle that was destroyed, or is of another kind", "one that was made and not destroyed yet"};
  }
  return table.places[place];
}

}  // namespace

void* make_handle(Kind kind, std::shared_ptr<void> object) {
  const std::lock_guard guard(table.lock);
  std::size_t place = table.first_free;
  if (place != 0) {
    table.first_free = table.places[place].next_free;
  } else if (table.never_used < kPlaces) {
    place = table.never_used++;
  } else {
    throw Error{3106, cat(kPlaces - 1, " handles are open"), "fewer", "destroy what is not needed any more"};
  }
  Place& found = table.places[place];
  found.uses += 1;
  found.kind = kind;
  found.object = std::move(object);
  return encode(place, found.uses);
}

std::shared_ptr<void> find_handle(Kind kind, const void* handle) {
  const std::lock_guard guard(table.lock);
  return find(kind, handle).object;
}

std::shared_ptr<void> drop_handle(Kind kind, const void* handle) {
  const std::lock_guard guard(table.lock);
  Place& found = find(kind, handle);
  found.kind = Kind::none;
  found.next_free = table.first_free;
  table.first_free = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(handle) & 0xFFFFU);
  return std::move(found.object);
}

}  // namespace v2v_core::abi
