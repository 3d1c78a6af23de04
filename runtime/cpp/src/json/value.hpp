// A JSON value whose meaning is certain: read strictly, integers apart from numbers with a fraction.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace v2v_core::json {

class Value;
using Array = std::vector<Value>;
using Object = std::vector<std::pair<std::string, Value>>;  // in the order of the file; no key twice

class Value {
 public:
  Value() = default;
  Value(bool value) : kind_(Kind::boolean), integer_(value ? 1 : 0) {}
  Value(std::int64_t value) : kind_(Kind::integer), integer_(value) {}
  Value(double value) : kind_(Kind::real), real_(value) {}
  Value(std::string value) : kind_(Kind::string), string_(std::make_unique<std::string>(std::move(value))) {}
  Value(const char* value) : Value(std::string(value)) {}
  Value(Array value) : kind_(Kind::array), array_(std::make_unique<Array>(std::move(value))) {}
  Value(Object value) : kind_(Kind::object), object_(std::make_unique<Object>(std::move(value))) {}

  Value(const Value& other) : kind_(other.kind_), integer_(other.integer_), real_(other.real_) {
    if (other.string_) string_ = std::make_unique<std::string>(*other.string_);
    if (other.array_) array_ = std::make_unique<Array>(*other.array_);
    if (other.object_) object_ = std::make_unique<Object>(*other.object_);
  }
  Value& operator=(const Value& other) {
    Value copied(other);
    return *this = std::move(copied);
  }
  Value(Value&&) noexcept = default;
  Value& operator=(Value&&) noexcept = default;
  ~Value() = default;

  bool is_null() const { return kind_ == Kind::null; }
  std::optional<bool> boolean() const {
    return kind_ == Kind::boolean ? std::optional<bool>(integer_ != 0) : std::nullopt;
  }
  const std::int64_t* integer() const { return kind_ == Kind::integer ? &integer_ : nullptr; }
  const double* real() const { return kind_ == Kind::real ? &real_ : nullptr; }
  const std::string* string() const { return string_.get(); }
  const Array* array() const { return array_.get(); }
  const Object* object() const { return object_.get(); }
  Array* array() { return array_.get(); }
  Object* object() { return object_.get(); }

  // The value under a key of an object; null where this is no object or has no such key.
  const Value* find(std::string_view key) const;

  friend bool operator==(const Value& a, const Value& b);

 private:
  enum class Kind : std::uint8_t { null, boolean, integer, real, string, array, object };

  Kind kind_ = Kind::null;
  std::int64_t integer_ = 0;
  double real_ = 0;
  std::unique_ptr<std::string> string_;
  std::unique_ptr<Array> array_;
  std::unique_ptr<Object> object_;
};

// Reads one JSON text. Throws Error: V2V-E2001 to E2009.
Value parse(std::string_view text);

// Sorted keys, no spaces, UTF-8 with the escapes that JSON demands and no other, one final newline. Numbers with
// a fraction are written in Python's shortest form.
std::string canonical(const Value& value);

// The same on one line in the order given, with Python's separators: what `json.dumps` writes.
std::string dump(const Value& value);

}  // namespace v2v_core::json
