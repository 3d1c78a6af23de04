#include "manifest/scope.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace v2v_core::rules {

std::string_view a_kind(Kind kind) {
  constexpr std::array<std::string_view, 6> kWords{"the input",         "a slot",     "a param", "a const",
                                                   "a builtin counter", "a temporary"};
  return kWords[static_cast<std::size_t>(kind)];
}

void fail(int code, std::string_view path, std::string_view seen, std::string_view expected, std::string_view fix) {
  throw Error{code, cat(path, ": ", seen), std::string(expected), std::string(fix)};
}

Steps::Steps(std::int64_t steps, bool all) : words_(static_cast<std::size_t>((steps + 63) / 64), all ? ~0ULL : 0ULL) {
  if (all && steps % 64 != 0) words_.back() = (std::uint64_t{1} << (steps % 64)) - 1;
}

std::int64_t Steps::first() const {
  for (std::size_t i = 0; i < words_.size(); ++i) {
    if (words_[i] != 0) return static_cast<std::int64_t>(i) * 64 + std::countr_zero(words_[i]);
  }
  return -1;
}

bool Steps::meets(const Steps& other) const {
  for (std::size_t i = 0; i < words_.size(); ++i) {
    if ((words_[i] & other.words_[i]) != 0) return true;
  }
  return false;
}

Steps& Steps::operator|=(const Steps& other) {
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  return *this;
}

Steps& Steps::operator-=(const Steps& other) {
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= ~other.words_[i];
  return *this;
}

bool is_builtin(std::string_view name) { return name == "step" || name == "frame_index"; }

bool has(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

const Binding* output_of(const Call& call, std::string_view port) {
  const auto found = call.outputs.find(port);
  return found == call.outputs.end() || !found->second ? nullptr : &*found->second;
}

bool Scope::is_partial(std::string_view name) const {
  const auto found = makers.find(name);
  if (found == makers.end()) return false;
  return std::any_of(found->second.begin(), found->second.end(), [&](std::size_t position) {
    const Call& call = phase.calls[position];
    if (!call.rows) return false;
    return std::any_of(call.rows->ports.begin(), call.rows->ports.end(), [&](const std::string& port) {
      const Binding* binding = output_of(call, port);
      return binding != nullptr && binding->name == name;
    });
  });
}

void each_read(const Call& call, const std::function<void(const std::string&, const std::string&)>& visit) {
  for (const auto& [port, binding] : call.inputs) visit("inputs." + port, binding.name);
  if (call.rows) visit("rows.count", call.rows->count);
}

void each_write(const Call& call, const std::function<void(const std::string&, const Binding&)>& visit) {
  for (const auto& [port, binding] : call.outputs) {
    if (binding) visit(port, *binding);
  }
}

void check_size(const TensorSpec& spec, std::string_view path) {
  constexpr std::array<std::int64_t, 7> kItem{1, 1, 4, 8, 2, 4, 4};
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  std::int64_t size = kItem[static_cast<std::size_t>(spec.dtype)];
  for (const std::int64_t entries : spec.shape) {
    if (size > kMost / entries) {
      fail(2023, path, cat(dtype_name(spec.dtype), " ", shape_text(spec.shape)),
           cat("at most ", kMost, " bytes (1 TiB)"));
    }
    size *= entries;
  }
}

namespace {

void check_builtin(std::string_view name, std::string_view path) {
  if (is_builtin(name)) fail(2041, path, quote(name) + " is a counter that the machine gives", "another name");
}

void add(Map<Declared>& names, Map<std::string>& taken, Kind kind, std::string_view group, const std::string& name,
         const TensorSpec& spec) {
  const std::string where = cat(group, ".", name);
  check_builtin(name, where);
  if (const auto other = taken.find(name); other != taken.end()) {
    fail(2040, where, cat(other->second, " has ", quote(name), " too"), "names of their own", "rename one");
  }
  check_size(spec, where);
  taken.emplace(name, group);
  names.emplace(name, Declared{kind, spec});
}

}  // namespace

Map<Declared> declare(const Manifest& manifest) {
  const Program& program = manifest.program;
  Map<Declared> names;
  Map<std::string> taken;
  for (const auto& [name, frame] : program.inputs) {
    check_builtin(name, "program.inputs." + name);
    taken.emplace(name, "program.inputs");
  }
  for (const auto& [name, slot] : program.slots) add(names, taken, Kind::slot, "program.slots", name, slot.spec);
  for (const auto& [name, param] : program.params) add(names, taken, Kind::param, "program.params", name, param.spec);
  for (const auto& [name, c] : program.consts) add(names, taken, Kind::constant, "program.consts", name, c.spec);
  const Declared counter{Kind::builtin, {DType::int64, {1}}};
  names.emplace("step", counter);
  names.emplace("frame_index", counter);
  for (const auto& [name, slot] : program.slots) {
    if (!slot.ring) continue;
    if (slot.ring->length != slot.spec.shape[0]) {
      fail(2070, cat("program.slots.", name, ".ring.length"), std::to_string(slot.ring->length),
           cat(slot.spec.shape[0], ", the slot's axis 0"));
    }
    names.emplace(name + ".count", counter);
  }
  return names;
}

}  // namespace v2v_core::rules
