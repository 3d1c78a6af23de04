#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "json/value.hpp"

namespace v2v_core::json {
namespace {

void write_string(std::string& out, std::string_view text) {
  constexpr std::string_view kShort = "\b\t\n\f\r\"\\";
  constexpr std::string_view kLetter = "btnfr\"\\";
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    if (const auto at = kShort.find(c); at != std::string_view::npos) {
      out += '\\';
      out += kLetter[at];
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\u00";
      out += kHex[static_cast<unsigned char>(c) >> 4U];
      out += kHex[static_cast<unsigned char>(c) & 15U];
    } else {
      out += c;
    }
  }
  out += '"';
}

// As Python's repr: the shortest digits that read back, with an exponent below 1e-4 and from 1e16.
void write_real(std::string& out, double value) {
  std::array<char, 64> buffer{};
  const double size = std::abs(value);
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 plain ? std::chars_format::fixed : std::chars_format::scientific);
  const std::string_view text(buffer.data(), static_cast<std::size_t>(end.ptr - buffer.data()));
  out += text;
  if (plain && text.find('.') == std::string_view::npos) out += ".0";
}

struct Style {
  std::string_view comma;
  std::string_view colon;
  bool sorted;
};

void write(std::string& out, const Value& value, const Style& style);

void write_object(std::string& out, const Object& entries, const Style& style) {
  std::vector<const Object::value_type*> order;
  order.reserve(entries.size());
  for (const auto& entry : entries) order.push_back(&entry);
  if (style.sorted) {
    std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
  }
  out += '{';
  for (const auto* entry : order) {
    if (entry != order.front()) out += style.comma;
    write_string(out, entry->first);
    out += style.colon;
    write(out, entry->second, style);
  }
  out += '}';
}

void write(std::string& out, const Value& value, const Style& style) {
  if (const std::optional<bool> flag = value.boolean()) {
    out += *flag ? "true" : "false";
  } else if (const std::int64_t* number = value.integer()) {
    out += std::to_string(*number);
  } else if (const double* real = value.real()) {
    write_real(out, *real);
  } else if (const std::string* text = value.string()) {
    write_string(out, *text);
  } else if (const Array* entries = value.array()) {
    out += '[';
    for (const Value& entry : *entries) {
      if (&entry != &entries->front()) out += style.comma;
      write(out, entry, style);
    }
    out += ']';
  } else if (const Object* object = value.object()) {
    write_object(out, *object, style);
  } else {
    out += "null";
  }
}

}  // namespace

const Value* Value::find(std::string_view key) const {
  if (!object_) return nullptr;
  for (const auto& [name, value] : *object_) {
    if (name == key) return &value;
  }
  return nullptr;
}

bool operator==(const Value& a, const Value& b) {
  const auto same = [](const auto& x, const auto& y) { return x ? *x == *y : true; };
  return a.kind_ == b.kind_ && a.integer_ == b.integer_ && a.real_ == b.real_ && same(a.string_, b.string_) &&
         same(a.array_, b.array_) && same(a.object_, b.object_);
}

std::string canonical(const Value& value) {
  std::string out;
  write(out, value, {",", ":", true});
  out += '\n';
  return out;
}

std::string dump(const Value& value) {
  std::string out;
  write(out, value, {", ", ": ", false});
  return out;
}

}  // namespace v2v_core::json
