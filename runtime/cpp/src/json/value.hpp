// A JSON value whose meaning is certain: read strictly, integers apart from numbers with a fraction.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace v2v::json {

class Value;
using Array = std::vector<Value>;
using Object = std::vector<std::pair<std::string, Value>>;  // in the order of the file; no key twice

class Value {
 public:
  Value() = default;
  Value(bool value) : held_(value) {}
  Value(std::int64_t value) : held_(value) {}
  Value(double value) : held_(value) {}
  Value(std::string value) : held_(std::move(value)) {}
  Value(const char* value) : held_(std::string(value)) {}
  Value(Array value) : held_(std::move(value)) {}
  Value(Object value) : held_(std::move(value)) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(held_); }
  const bool* boolean() const { return std::get_if<bool>(&held_); }
  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&held_); }
  const double* real() const { return std::get_if<double>(&held_); }
  const std::string* string() const { return std::get_if<std::string>(&held_); }
  const Array* array() const { return std::get_if<Array>(&held_); }
  const Object* object() const { return std::get_if<Object>(&held_); }
  Array* array() { return std::get_if<Array>(&held_); }
  Object* object() { return std::get_if<Object>(&held_); }

  // The value under a key of an object; null where this is no object or has no such key.
  const Value* find(std::string_view key) const {
    if (const Object* entries = object()) {
      for (const auto& [name, value] : *entries) {
        if (name == key) return &value;
      }
    }
    return nullptr;
  }

  bool operator==(const Value&) const = default;

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> held_;
};

// Reads one JSON text. Throws Error: V2V-E2001 to E2008.
Value parse(std::string_view text);

// Sorted keys, no spaces, UTF-8 with the escapes that JSON demands and no other, one final newline. Numbers with
// a fraction are written in Python's shortest form.
std::string canonical(const Value& value);

// The same on one line in the order given, with Python's separators: what `json.dumps` writes.
std::string dump(const Value& value);

}  // namespace v2v::json
