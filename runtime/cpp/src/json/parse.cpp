// JSON read strictly, with the verdicts of v2v_runtime/manifest/strict_json.py. nlohmann's parser does the
// grammar; what it is lenient with, or names differently, is settled before it runs.
#include <algorithm>
#include <cstring>
#include <limits>

#include <nlohmann/json.hpp>

#include "error.hpp"
#include "json/value.hpp"

namespace v2v_core::json {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{16} << 20;
constexpr int kMaxDepth = 64;
constexpr int kMaxValues = 1 << 16;  // bounds what is built: a value takes up to 200 bytes, however short its text

std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
  };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF && tail(1)) return 2;
  if ((first & 0xF0U) == 0xE0 && tail(1) && tail(2)) {
    const bool overlong = first == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = first == 0xED && byte(1) >= 0xA0;
    return overlong || surrogate ? 0 : 3;
  }
  if (first >= 0xF0 && first <= 0xF4 && tail(1) && tail(2) && tail(3)) {
    const bool overlong = first == 0xF0 && byte(1) < 0x90;
    const bool beyond = first == 0xF4 && byte(1) >= 0x90;
    return overlong || beyond ? 0 : 4;
  }
  return 0;
}

void check_encoding(std::string_view text) {
  if (text.size() > kMaxBytes) {
    throw Error{2005, cat(text.size(), " bytes"), cat("at most ", kMaxBytes), "move tensors into blobs/"};
  }
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const std::size_t length = utf8_length(text, at);
    if (length == 0) throw Error{2001, cat("byte ", at, " is not UTF-8"), "UTF-8", "save the file as UTF-8"};
    at += length;
  }
  if (text.starts_with("\xEF\xBB\xBF")) {
    throw Error{2001, "a byte order mark", "UTF-8 without one", "save the file without a byte order mark"};
  }
}

// What a first pass over the text finds.
struct Scan {
  std::string text;                            // half surrogate pairs replaced, so that the grammar can be read
  bool half_pair = false;                      // there was one
  std::size_t not_finite = std::string::npos;  // where the first NaN or Infinity stands outside of strings
};

int hex4(std::string_view text, std::size_t at) {
  if (at + 4 > text.size()) return -1;
  int value = 0;
  for (std::size_t i = at; i < at + 4; ++i) {
    const char c = text[i];
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

// Reads an escape that begins at `at` (the backslash); gives where it ends.
std::size_t scan_escape(Scan& scan, std::size_t at) {
  const std::string_view text = scan.text;
  if (at + 1 >= text.size()) return text.size();
  if (text[at + 1] != 'u') return at + 2;
  const int unit = hex4(text, at + 2);
  if (unit < 0xD800 || unit > 0xDFFF) return at + 2;
  const bool paired =
      unit < 0xDC00 && text.substr(at + 6, 2) == "\\u" && hex4(text, at + 8) >= 0xDC00 && hex4(text, at + 8) <= 0xDFFF;
  if (paired) return at + 12;
  scan.half_pair = true;
  scan.text.replace(at + 2, 4, "fffd");
  return at + 6;
}

// Where the string that begins at `at` (its quote) ends.
std::size_t scan_string(Scan& scan, std::size_t at) {
  for (++at; at < scan.text.size();) {
    const char c = scan.text[at];
    if (c == '"') return at + 1;
    at = c == '\\' ? scan_escape(scan, at) : at + 1;
  }
  return at;
}

// Values are counted by what stands before each: an opening bracket or brace, or a comma. An empty array or object
// counts twice, for nothing is looked up ahead.
Scan scan(std::string_view given) {
  Scan found;
  found.text = given;
  int depth = 0;
  int values = 0;
  for (std::size_t at = 0; at < found.text.size();) {
    const char c = found.text[at];
    if (c == '"') {
      at = scan_string(found, at);
      continue;
    }
    const bool opens = c == '{' || c == '[';
    if (opens && ++depth > kMaxDepth) {
      throw Error{2006, cat("nesting deeper than ", kMaxDepth, " at byte ", at), cat("at most ", kMaxDepth)};
    }
    if (c == '}' || c == ']') --depth;
    if ((opens || c == ',') && ++values > kMaxValues) {
      throw Error{2009, cat("more than ", kMaxValues, " values at byte ", at), cat("at most ", kMaxValues),
                  "move tensors into blobs/"};
    }
    if ((c == 'N' || c == 'I') && found.not_finite == std::string::npos) {
      const std::string_view rest = std::string_view(found.text).substr(at, 8);
      if (rest.starts_with("NaN") || rest == "Infinity") found.not_finite = at;
    }
    ++at;
  }
  return found;
}

class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(const Scan& scanned) : scan_(scanned) {}

  Value take() { return std::move(root_); }

  bool null() override { return add(Value()); }
  bool boolean(bool value) override { return add(Value(value)); }
  bool number_integer(number_integer_t value) override { return add(Value(std::int64_t{value})); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max())) {
      throw too_large(std::to_string(value));
    }
    return add(Value(static_cast<std::int64_t>(value)));
  }
  bool number_float(number_float_t value, const string_t& digits) override {
    if (is_integer(digits)) throw too_large(digits);
    return add(Value(value));
  }
  bool string(string_t& value) override { return add(Value(std::move(value))); }
  bool binary(binary_t& /*value*/) override { return false; }
  bool start_object(std::size_t /*size*/) override { return open(Value(Object())); }
  bool start_array(std::size_t /*size*/) override { return open(Value(Array())); }
  bool key(string_t& name) override {
    keys_.back() = std::move(name);
    return true;
  }
  bool end_object() override {
    std::vector<const std::string*> names;
    for (const auto& [name, value] : *open_.back().object()) names.push_back(&name);
    std::sort(names.begin(), names.end(), [](auto* a, auto* b) { return *a < *b; });
    const auto twice = std::adjacent_find(names.begin(), names.end(), [](auto* a, auto* b) { return *a == *b; });
    if (twice != names.end() && !scan_.half_pair) {
      throw Error{2003, cat("the key ", quote(**twice), " stands twice in an object"), "each key once",
                  "keep one of the two"};
    }
    return close();
  }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t position, const std::string& token, const nlohmann::detail::exception& error) override {
    // The grammar ends at the first of them, if not before.
    if (const std::size_t at = scan_.not_finite; at != std::string::npos && position > at && position <= at + 9) {
      throw Error{2004, "the literal NaN or Infinity", "a finite number", "leave the key out"};
    }
    if (error.id == 406) {  // a number too large for a double
      if (is_integer(token)) throw too_large(token);
      throw Error{2004, "the number " + quote(token), "a number that a double can hold"};
    }
    throw Error{2002, cat("at byte ", position, ": not JSON"), "one JSON value",
                "correct the text there; comments and trailing commas are not JSON"};
  }

 private:
  static bool is_integer(std::string_view digits) {
    return digits.find_first_not_of("-0123456789") == std::string_view::npos;
  }
  static Error too_large(std::string_view digits) {
    return {2007, "the integer " + quote(digits), "an integer of 64 bits", "write it as text"};
  }

  bool open(Value container) {
    open_.push_back(std::move(container));
    keys_.emplace_back();
    return true;
  }
  bool close() {
    Value done = std::move(open_.back());
    open_.pop_back();
    keys_.pop_back();
    return add(std::move(done));
  }
  bool add(Value value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (Array* entries = open_.back().array()) {
      entries->push_back(std::move(value));
    } else {
      open_.back().object()->emplace_back(std::move(keys_.back()), std::move(value));
    }
    return true;
  }

  const Scan& scan_;
  Value root_;
  std::vector<Value> open_;
  std::vector<std::string> keys_;
};

}  // namespace

Value parse(std::string_view text) {
  check_encoding(text);
  const Scan found = scan(text);
  // The parser takes a NUL for the end of the text; outside of strings it is none, inside it is refused anyway.
  if (found.text.find('\0') != std::string::npos) throw Error{2002, "a NUL byte", "one JSON value"};
  Builder builder(found);
  nlohmann::json::sax_parse(found.text, &builder);
  Value value = builder.take();
  if (found.half_pair && value.object() != nullptr) {
    throw Error{2008, "a string holds half of a surrogate pair", "whole characters", "write it as UTF-8"};
  }
  return value;
}

}  // namespace v2v_core::json
