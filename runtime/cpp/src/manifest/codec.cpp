#include "manifest/codec.hpp"

namespace v2v_core::codec {
namespace {

bool plain(std::string_view key) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '/' || c == '-';
  };
  return !key.empty() && key.size() <= 64 && std::all_of(key.begin(), key.end(), good);
}

std::string_view kind_of(const json::Value& value) {
  if (value.object() != nullptr) return "an object";
  if (value.array() != nullptr) return "an array";
  if (value.string() != nullptr) return "a string";
  if (value.integer() != nullptr) return "an integer";
  if (value.real() != nullptr) return "a number with a fraction or exponent";
  return value.boolean() ? "true or false" : "null";
}

std::size_t characters(std::string_view utf8) {
  return static_cast<std::size_t>(
      std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

}  // namespace

std::string Path::text() const {
  if (up == nullptr) return "";
  const std::string before = up->text();
  if (index >= 0) return cat(before, "[", index, "]");
  const std::string shown = plain(key) ? std::string(key) : quote(key);
  return before.empty() ? shown : cat(before, ".", shown);
}

void fail(int code, const Path& path, std::string_view seen, std::string_view expected, std::string_view fix) {
  const std::string where = path.text();
  throw Error{code, where.empty() ? std::string(seen) : cat(where, ": ", seen), std::string(expected),
              std::string(fix)};
}

void wrong_type(const Path& path, const json::Value& value, std::string_view expected) {
  std::string shown = json::dump(value);
  if (shown.size() > 60) shown = shown.substr(0, 57) + "...";
  fail(2014, path, cat(kind_of(value), " (", shown, ")"), expected);
}

void check_items(const Items& rule, std::size_t count, const Path& path) {
  if (rule.most != 0 && (count < rule.fewest || count > rule.most)) {
    fail(rule.code, path, cat(count, " entries"), cat(rule.fewest, " to ", rule.most));
  }
}

std::int64_t Integer::read(const json::Value& value, const Path& path) const {
  const std::int64_t* number = value.integer();
  if (number == nullptr) wrong_type(path, value, "an integer");
  if (*number < low || *number > high) fail(code, path, std::to_string(*number), cat(low, " to ", high));
  return *number;
}

std::string Text::read(const json::Value& value, const Path& path) const {
  const std::string* text = value.string();
  if (text == nullptr) wrong_type(path, value, "a string");
  check(*text, path);
  return *text;
}

void Text::check(std::string_view text, const Path& path) const {
  if (text.empty() || characters(text) > longest || !fits(text)) fail(code, path, quote(text), what);
}

bool Boolean::read(const json::Value& value, const Path& path) {
  const std::optional<bool> flag = value.boolean();
  if (!flag) wrong_type(path, value, "true or false");
  return *flag;
}

json::Value Free::read(const json::Value& value, const Path& path) {
  if (value.object() == nullptr) wrong_type(path, value, "an object");
  return value;
}

void Keys::check(const json::Object& object, const Path& path) const {
  const auto last = known.begin() + static_cast<std::ptrdiff_t>(count);
  for (const auto& [name, value] : object) {
    if (std::find(known.begin(), last, name) == last) {
      std::string listed;
      for (auto key = known.begin(); key != last; ++key) listed += cat(listed.empty() ? "" : ", ", *key);
      fail(2012, path.at(name), "a key that does not exist here", "one of " + listed);
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    const auto is_key = [&](const auto& entry) { return entry.first == known[i]; };
    if (required[i] && std::none_of(object.begin(), object.end(), is_key)) {
      fail(2013, path, quote(known[i]) + " is missing", "", cat("add ", quote(known[i])));
    }
  }
}

}  // namespace v2v_core::codec
