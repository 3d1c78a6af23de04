// Handles of the C ABI: numbers that look like pointers and are never followed. The table of live handles is the one
// thing that is process-wide; it has a fixed size and takes no memory beyond.
#pragma once

#include <cstdint>
#include <memory>

namespace v2v_core::abi {

enum class Kind : std::uint8_t { none, context, bundle, stream, snapshot };

// A new handle that keeps `object`; throws Error V2V-E3106 where there are too many.
void* make_handle(Kind kind, std::shared_ptr<void> object);

// What a handle stands for; throws Error V2V-E3100 (null) or E3101 (stale, or of another kind).
std::shared_ptr<void> find_handle(Kind kind, const void* handle);

// Ends a handle; gives what it kept.
std::shared_ptr<void> drop_handle(Kind kind, const void* handle);

}  // namespace v2v_core::abi
