// JSON read strictly, with the verdicts of v2v_runtime/manifest/strict_json.py. nlohmann's parser does the
// grammar; what it is lenient with, or names differently, is settled before it runs.
#include <algorithm>
#include <cstring>
#include <limits>

#include <nlohmann/json.hpp>

#include "error.hpp"
#include "json/value.hpp"
#include "utf8.hpp"

namespace v2v_core::json {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{16} << 20;
constexpr int kMaxDepth = 64;
constexpr int kMaxValues = 1 << 16;  // bounds what is built: a value takes up to 200 bytes, however short its text

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
  std::string text;                 // half surrogate pairs replaced, so that the grammar can be read
  std::vector<std::size_t> halves;  // the strings that held one, by their number in the text
  std::size_t strings = 0;
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
  if (scan.halves.empty() || scan.halves.back() != scan.strings) scan.halves.push_back(scan.strings);
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
      ++found.strings;
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
    ++at;
  }
  return found;
}

// The number that a text begins with, as far as it is one; empty: none.
std::string_view number_at(std::string_view text) {
  const auto past_digits = [&](std::size_t from) {
    return std::min(text.find_first_not_of("0123456789", from), text.size());
  };
  const std::size_t first = text.starts_with('-') ? 1 : 0;
  std::size_t end = text.substr(first).starts_with('0') ? first + 1 : past_digits(first);
  if (end == first) return {};
  if (text.substr(end).starts_with('.')) {
    if (const std::size_t past = past_digits(end + 1); past > end + 1) end = past;
  }
  if (text.substr(end).starts_with('e') || text.substr(end).starts_with('E')) {
    const std::string_view rest = text.substr(end + 1);
    const std::size_t digits = end + (rest.starts_with('+') || rest.starts_with('-') ? 2 : 1);
    if (const std::size_t past = past_digits(digits); past > digits) end = past;
  }
  return text.substr(0, end);
}

// Throws what is met first: numbers and literals where they stand, keys and half pairs where their object ends.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(const Scan& scanned) : scan_(scanned), half_(scanned.halves.begin()) {}

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
  bool string(string_t& value) override {
    if (next_string_is_half()) mark();
    return add(Value(std::move(value)));
  }
  bool binary(binary_t& /*value*/) override { return false; }
  bool start_object(std::size_t /*size*/) override { return open(Value(Object())); }
  bool start_array(std::size_t /*size*/) override { return open(Value(Array())); }
  bool key(string_t& name) override {
    if (next_string_is_half()) mark();
    open_.back().key = std::move(name);
    return true;
  }
  bool end_object() override {
    const Object& entries = *open_.back().value.object();
    const std::size_t half = open_.back().half;
    const std::size_t twice = first_twice(entries);
    if (half != kNone && half <= twice) {
      throw Error{2008, "a string holds half of a surrogate pair", "whole characters", "write it as UTF-8"};
    }
    if (twice != kNone) {
      throw Error{2003, cat("the key ", quote(entries[twice].first), " stands twice in an object"), "each key once",
                  "keep one of the two"};
    }
    return close();
  }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t position, const std::string& token, const nlohmann::detail::exception& error) override {
    if (error.id == 406) {  // a number too large for a double
      if (is_integer(token)) throw too_large(token);
      throw Error{2004, "the number " + quote(token), "a number that a double can hold"};
    }
    // The first character that the grammar does not take is the last that was read.
    const std::size_t at = std::min(std::max(position, std::size_t{1}) - 1, scan_.text.size());
    check_literal(at);
    check_number(at);
    throw Error{2002, cat("at byte ", position, ": not JSON"), "one JSON value",
                "correct the text there; comments and trailing commas are not JSON"};
  }

 private:
  static constexpr std::size_t kNone = std::string::npos;

  // An array or object that has not ended.
  struct Open {
    Value value;
    std::string key = {};      // of the entry that is being read
    std::size_t half = kNone;  // the first entry with half a surrogate pair: in its key, in itself, in arrays within
  };

  static bool is_integer(std::string_view digits) {
    return digits.find_first_not_of("-0123456789") == std::string_view::npos;
  }
  static Error too_large(std::string_view digits) {
    return {2007, "the integer " + quote(digits), "an integer of 64 bits", "write it as text"};
  }

  // The first entry whose key stands before it too.
  static std::size_t first_twice(const Object& entries) {
    std::vector<std::pair<std::string_view, std::size_t>> keys;
    keys.reserve(entries.size());
    for (const auto& [name, value] : entries) keys.emplace_back(name, keys.size());
    std::sort(keys.begin(), keys.end());
    std::size_t first = kNone;
    for (std::size_t i = 1; i < keys.size(); ++i) {
      if (keys[i].first == keys[i - 1].first) first = std::min(first, keys[i].second);
    }
    return first;
  }

  // Whether a value may stand at this place of the text, where the grammar was left or a number began.
  bool may_begin(std::size_t at) const {
    const std::string_view before = std::string_view(scan_.text).substr(0, at);
    const std::size_t last = before.find_last_not_of(" \t\n\r");
    if (last == std::string_view::npos || before[last] == '[' || before[last] == ':') return true;
    return before[last] == ',' && !open_.empty() && open_.back().value.array() != nullptr;
  }

  // NaN, Infinity and -Infinity are literals to other readers; the grammar is left at their first letter.
  void check_literal(std::size_t at) const {
    const std::string_view rest = std::string_view(scan_.text).substr(at);
    const bool infinite = rest.starts_with("Infinity");
    if (!infinite && !rest.starts_with("NaN")) return;
    const bool negative = infinite && at > 0 && scan_.text[at - 1] == '-';
    if (!may_begin(negative ? at - 1 : at)) return;
    throw Error{2004, "the literal NaN or Infinity", "a finite number", "leave the key out"};
  }

  // A number that breaks off has been met as far as it is one: 1 of 1.x, 1.5 of 1.5e+.
  void check_number(std::size_t at) const {
    const std::string_view before = std::string_view(scan_.text).substr(0, at);
    const std::size_t begin = before.find_last_not_of("+-.0123456789Ee") + 1;
    Scan number;
    number.text = number_at(before.substr(begin));
    if (number.text.empty() || !may_begin(begin)) return;
    Builder alone(number);
    nlohmann::json::sax_parse(number.text, &alone);
  }

  bool next_string_is_half() {
    const bool half = half_ != scan_.halves.end() && *half_ == strings_;
    if (half) ++half_;
    ++strings_;
    return half;
  }
  // The entry that is being read holds half a surrogate pair. Outside of objects nobody asks.
  void mark() {
    if (open_.empty() || open_.back().half != kNone) return;
    const Object* object = open_.back().value.object();
    open_.back().half = object == nullptr ? 0 : object->size();
  }

  bool open(Value container) {
    open_.push_back({std::move(container)});
    return true;
  }
  bool close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    if (done.half != kNone) mark();
    return add(std::move(done.value));
  }
  bool add(Value value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (Array* entries = open_.back().value.array()) {
      entries->push_back(std::move(value));
    } else {
      open_.back().value.object()->emplace_back(std::move(open_.back().key), std::move(value));
    }
    return true;
  }

  const Scan& scan_;
  std::vector<std::size_t>::const_iterator half_;  // the next string that holds half a pair
  std::size_t strings_ = 0;                        // read so far
  Value root_;
  std::vector<Open> open_;
};

}  // namespace

Value parse(std::string_view text) {
  check_encoding(text);
  const Scan found = scan(text);
  // The parser would take a NUL for the end of the text; what stands before one is read first.
  const std::string_view before = std::string_view(found.text).substr(0, found.text.find('\0'));
  Builder builder(found);
  nlohmann::json::sax_parse(before, &builder);
  if (before.size() < found.text.size()) throw Error{2002, "a NUL byte", "one JSON value"};
  return builder.take();
}

}  // namespace v2v_core::json
