// Codecs: how a JSON value is read into a type, checked, and written back. A record lists its fields once
// (`fields.cpp`), and that list serves reading, the check for unknown keys, and writing.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <type_traits>

#include "error.hpp"
#include "json/value.hpp"
#include "manifest/model.hpp"

namespace v2v_core::codec {

// Where a value stands, spelled only when an error needs it.
struct Path {
  const Path* up = nullptr;
  std::string_view key = {};
  std::int64_t index = -1;

  std::string text() const;
  Path at(std::string_view name) const { return {this, name}; }
  Path at(std::int64_t position) const { return {this, {}, position}; }
};

[[noreturn]] void fail(int code, const Path& path, std::string_view seen, std::string_view expected = {},
                       std::string_view fix = {});
[[noreturn]] void wrong_type(const Path& path, const json::Value& value, std::string_view expected);

struct Items {
  int code = 0;
  std::size_t fewest = 0;
  std::size_t most = 0;
};

void check_items(const Items& rule, std::size_t count, const Path& path);

struct Integer {
  using Type = std::int64_t;
  int code;
  std::int64_t low;
  std::int64_t high;

  Type read(const json::Value& value, const Path& path) const;
  static json::Value write(Type value) { return value; }
};

struct Text {
  using Type = std::string;
  int code;
  bool (*fits)(std::string_view text);
  std::size_t longest;  // in characters
  std::string_view what;

  Type read(const json::Value& value, const Path& path) const;
  void check(std::string_view text, const Path& path) const;
  static json::Value write(const Type& value) { return value; }
};

struct Boolean {
  using Type = bool;
  static Type read(const json::Value& value, const Path& path);
  static json::Value write(Type value) { return value; }
};

// Free JSON: any object.
struct Free {
  using Type = json::Value;
  static Type read(const json::Value& value, const Path& path);
  static json::Value write(const Type& value) { return value; }
};

// A word that stands for a value.
template <class Value, std::size_t N>
struct Choice {
  using Type = Value;
  std::array<std::pair<std::string_view, Value>, N> words;

  Type read(const json::Value& value, const Path& path) const {
    const std::string* text = value.string();
    if (text == nullptr) wrong_type(path, value, "a string");
    for (const auto& [word, found] : words) {
      if (*text == word) return found;
    }
    std::string listed;
    for (const auto& [word, found] : words) listed += (listed.empty() ? "" : " or ") + quote(word);
    fail(2015, path, quote(*text), listed);
  }
  json::Value write(const Type& value) const {
    for (const auto& [word, found] : words) {
      if (found == value) return std::string(word);
    }
    return {};
  }
};

template <class Entry>
struct List {
  using Type = std::vector<typename Entry::Type>;
  Entry entry;
  Items items{};

  Type read(const json::Value& value, const Path& path) const {
    const json::Array* entries = value.array();
    if (entries == nullptr) wrong_type(path, value, "an array");
    check_items(items, entries->size(), path);
    Type found;
    found.reserve(entries->size());
    for (const json::Value& each : *entries) {
      found.push_back(entry.read(each, path.at(static_cast<std::int64_t>(found.size()))));
    }
    return found;
  }
  json::Value write(const Type& value) const {
    json::Array entries;
    for (const auto& each : value) entries.push_back(entry.write(each));
    return entries;
  }
};

template <class Entry>
struct MapOf {
  using Type = Map<typename Entry::Type>;
  Text key;
  Entry entry;
  Items items{};

  Type read(const json::Value& value, const Path& path) const {
    const json::Object* entries = value.object();
    if (entries == nullptr) wrong_type(path, value, "an object");
    check_items(items, entries->size(), path);
    Type found;
    for (const auto& [name, each] : *entries) {
      const Path where = path.at(name);
      key.check(name, where);
      found.emplace(name, entry.read(each, where));
    }
    return found;
  }
  json::Value write(const Type& value) const {
    json::Object entries;
    for (const auto& [name, each] : value) entries.emplace_back(name, entry.write(each));
    return entries;
  }
};

template <class Entry>
struct Nullable {
  using Type = std::optional<typename Entry::Type>;
  Entry entry;

  Type read(const json::Value& value, const Path& path) const {
    if (value.is_null()) return std::nullopt;
    return entry.read(value, path);
  }
  json::Value write(const Type& value) const { return value ? entry.write(*value) : json::Value(); }
};

// The keys of a record: which there are, and which must be there.
struct Keys {
  static constexpr std::size_t kMost = 16;
  std::array<std::string_view, kMost> known{};
  std::array<bool, kMost> required{};
  std::size_t count = 0;

  template <class Codec, class T>
  constexpr void must(std::string_view key, const Codec& /*codec*/, T& /*field*/) {
    required[count] = true;
    known[count++] = key;
  }
  template <class Codec, class T>
  constexpr void may(std::string_view key, const Codec& /*codec*/, T& /*field*/, const T& /*value*/) {
    known[count++] = key;
  }
  void check(const json::Object& object, const Path& path) const;
};

struct FieldReader {
  const json::Value& from;
  const Path& path;

  template <class Codec, class T>
  void must(std::string_view key, const Codec& codec, T& field) {
    field = codec.read(*from.find(key), path.at(key));
  }
  template <class Codec, class T>
  void may(std::string_view key, const Codec& codec, T& field, const T& value) {
    const json::Value* found = from.find(key);
    field = found == nullptr ? value : codec.read(*found, path.at(key));
  }
};

struct FieldWriter {
  json::Object to;

  template <class Codec, class T>
  void must(std::string_view key, const Codec& codec, const T& field) {
    to.emplace_back(key, codec.write(field));
  }
  template <class Codec, class T>
  void may(std::string_view key, const Codec& codec, const T& field, const T& value) {
    if (!(field == value)) to.emplace_back(key, codec.write(field));
  }
};

// A struct whose keys `fields(visitor, record)` lists.
template <class T>
struct Record {
  using Type = T;

  static Type read(const json::Value& value, const Path& path) {
    const json::Object* object = value.object();
    if (object == nullptr) wrong_type(path, value, "an object");
    T found{};
    Keys keys;
    fields(keys, found);
    keys.check(*object, path);
    FieldReader reader{value, path};
    fields(reader, found);
    return found;
  }
  static json::Value write(const Type& value) {
    FieldWriter writer;
    fields(writer, value);
    return std::move(writer.to);
  }
};

}  // namespace v2v_core::codec
