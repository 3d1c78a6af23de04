// What every function of the C ABI is wrapped in: the context's allocator, and no exception beyond it.
#pragma once

#include <memory>
#include <new>
#include <string_view>

#include "abi/handles.hpp"
#include "alloc.hpp"
#include "error.hpp"
#include "v2v/v2v.h"

namespace v2v_core::abi {

struct Context {
  Allocator allocator;
  void (*log)(void* user, v2v_log_level level, const char* message) = nullptr;
  void* log_user = nullptr;

  void say(v2v_log_level level, const char* message) const {
    if (log != nullptr) log(log_user, level, message);
  }
};

template <class T>
std::shared_ptr<T> object(Kind kind, const void* handle) {
  return std::static_pointer_cast<T>(find_handle(kind, handle));
}

template <class T>
const T& given(const T* value, std::string_view what) {
  if (value == nullptr) throw Error{3100, cat(what, " is null")};
  return *value;
}

template <class T>
void check_given(const T* value, std::string_view what) {
  if (value == nullptr) throw Error{3100, cat(what, " is null")};
}

template <class T>
T& wanted(T* value, std::string_view what) {
  if (value == nullptr) throw Error{3100, cat(what, " is null")};
  return *value;
}

// Where a handle will be given: null until it is, whatever fails first.
template <class T>
void no_handle_yet(T** to) noexcept {
  if (to != nullptr) *to = nullptr;
}

template <class T>
void check_struct(const T& value, std::string_view what) {
  if (value.struct_size != sizeof(T)) {
    throw Error{3102, cat(what, ".struct_size is ", value.struct_size), cat(sizeof(T), ", its size in this library"),
                "set it to sizeof, and compile against this library's header"};
  }
}

// Writes the message, cut where it is too long; takes no memory.
v2v_status report(const Context* context, v2v_error* error, const Error& found,
                  v2v_log_level level = V2V_LOG_ERROR) noexcept;

// Logs what was done to what; takes no memory.
void inform(const Context* context, std::string_view what, std::string_view name) noexcept;

// The error that words fit into; null: its size is of another library.
inline v2v_error* fitting(v2v_error* error) noexcept {
  return error != nullptr && error->struct_size == sizeof(v2v_error) ? error : nullptr;
}

// Runs `call` under the context's allocator; gives its failure as a status.
template <class Call>
v2v_status guarded(const Context* context, v2v_error* error, const Call& call) noexcept {
  v2v_error* const to = fitting(error);
  if (to != nullptr) {
    to->code = V2V_OK;
    to->message[0] = '\0';
  }
  const AllocatorScope scope(context == nullptr ? Allocator{} : context->allocator);
  try {
    if (error != nullptr) check_struct(*error, "error");
    call();
    return V2V_OK;
  } catch (const Error& found) {
    return report(context, to, found);
  } catch (const std::bad_alloc&) {
    return report(context, to, {V2V_E_NO_MEMORY, {}});
  } catch (...) {
    return report(context, to, {V2V_E_INTERNAL, {}});
  }
}

// The same for what belongs to a handle: `call` gets the object, whose `context` it runs in.
template <class T, class Call>
v2v_status with(Kind kind, const void* handle, v2v_error* error, const Call& call) noexcept {
  std::shared_ptr<T> found;
  const v2v_status status = guarded(nullptr, fitting(error), [&] { found = object<T>(kind, handle); });
  if (status != V2V_OK) return status;
  return guarded(found->context.get(), error, [&] { call(*found); });
}

}  // namespace v2v_core::abi
