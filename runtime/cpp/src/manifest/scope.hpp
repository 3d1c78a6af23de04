// Names and their types within a program: what it declares, and what each phase's calls make.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "error.hpp"
#include "manifest/model.hpp"

namespace v2v_core::rules {

enum class Kind : std::uint8_t { input, slot, param, constant, builtin, temporary };
std::string_view a_kind(Kind kind);

[[noreturn]] void fail(int code, std::string_view path, std::string_view seen, std::string_view expected = {},
                       std::string_view fix = {});

// What a name stands for, and the type and shape of reading it whole.
struct Declared {
  Kind kind;
  TensorSpec spec;
};

// The steps of one period of a phase, as bits.
class Steps {
 public:
  explicit Steps(std::int64_t steps, bool all = false);
  void set(std::int64_t step) { words_[static_cast<std::size_t>(step / 64)] |= std::uint64_t{1} << (step % 64); }
  std::int64_t first() const;  // -1: none
  bool meets(const Steps& other) const;
  Steps& operator|=(const Steps& other);
  Steps& operator-=(const Steps& other);
  friend Steps operator&(Steps a, const Steps& b) {
    for (std::size_t i = 0; i < a.words_.size(); ++i) a.words_[i] &= b.words_[i];
    return a;
  }

 private:
  std::vector<std::uint64_t> words_;
};

// One phase with the names that its calls can use; see PhaseScope in v2v_runtime/manifest/validate/scope.py.
struct Scope {
  const Manifest& manifest;
  const Phase& phase;
  std::string path;
  std::int64_t steps = 0;
  std::vector<std::shared_ptr<const Steps>> masks;  // per call; calls without a schedule share one
  Map<Declared> names;
  Map<std::vector<std::size_t>> makers;

  const Program& program() const { return manifest.program; }
  const Graph& graph(const Call& call) const { return manifest.graphs.find(call.graph)->second; }
  std::string call_path(std::size_t position) const { return cat(path, ".calls[", position, "]"); }
  Kind kind(std::string_view name) const { return names.find(name)->second.kind; }
  bool is_partial(std::string_view name) const;  // whether `rows` may leave some of the temporary unwritten
};

bool is_builtin(std::string_view name);
bool has(const std::vector<std::string>& list, std::string_view word);
const Binding* output_of(const Call& call, std::string_view port);

// (JSON key below the call, name) of each name that a call reads; `rows.count` is one.
void each_read(const Call& call, const std::function<void(const std::string& key, const std::string& name)>& visit);
// Each output that is not thrown away.
void each_write(const Call& call, const std::function<void(const std::string& port, const Binding& binding)>& visit);

void check_size(const TensorSpec& spec, std::string_view path);
Map<Declared> declare(const Manifest& manifest);
Scope bind_phase(const Manifest& manifest, std::size_t index, const Map<Declared>& declared);
void step_masks(Scope& scope);

void check_files(const Manifest& manifest);
void check_phase_order(const Program& program);
void check_calls(const Scope& scope);
void check_schedule(const Scope& scope);
void check_made(const Scope& scope, std::string_view name, const Steps& needed, std::size_t before, bool late,
                std::string_view path);
void check_limits(const Program& program);
void check_changed(std::span<const Scope> scopes);
void check_variants(const Manifest& manifest);
void check_selftest(const Manifest& manifest);
void check_overrides(const Manifest& manifest, std::span<const Scope> scopes);
void check_buckets(std::span<const std::int64_t> buckets, std::string_view path);
std::int64_t check_emission(const Scope& scope);
void check_usage(const Manifest& manifest, std::span<const Scope> scopes);

// A call's in-place ports, and the JSON path of that list.
using InPlace = std::map<std::size_t, std::pair<std::span<const std::string>, std::string>>;
void check_in_place(const Scope& scope, const InPlace& in_place);

}  // namespace v2v_core::rules
