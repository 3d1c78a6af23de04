// When calls run: every name exists exactly once wherever it is needed, over the whole period of a phase.
#include <algorithm>
#include <limits>
#include <numeric>

#include "manifest/scope.hpp"

namespace v2v_core::rules {
namespace {

constexpr std::int64_t kMaxPeriod = 4096;

void check_every(const Every& when, const std::string& path) {
  const bool rising = std::adjacent_find(when.at.begin(), when.at.end(), std::greater_equal<>()) == when.at.end();
  if (!rising || when.at.back() >= when.every) {
    fail(2060, path + ".at", shape_text(when.at), cat("rising numbers below ", when.every));
  }
}

}  // namespace

void check_phase_order(const Program& program) {
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < program.phases.size(); ++i) {
    const Phase& phase = program.phases[i];
    const std::string path = cat("program.phases[", i, "]");
    if (!seen.insert(phase.name).second) fail(2040, path + ".name", "two phases " + quote(phase.name), "one name each");
    if (!phase.steps.has_value() != (i + 1 == program.phases.size())) {
      const std::string steps = phase.steps ? std::to_string(*phase.steps) : "'forever'";
      fail(2066, path + ".steps", cat(steps, " in phase ", i + 1, " of ", program.phases.size()),
           "'forever' in the last phase, a number of steps in each before it");
    }
  }
}

void step_masks(Scope& scope) {
  const std::vector<Call>& calls = scope.phase.calls;
  const std::int64_t span = scope.phase.steps.value_or(std::numeric_limits<std::int64_t>::max());
  std::int64_t period = 1;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const auto* when = std::get_if<Every>(&calls[i].when);
    if (when == nullptr) continue;
    const std::string path = scope.call_path(i) + ".when";
    check_every(*when, path);
    period = std::lcm(period, when->every);  // below 2^12 * 2^31
    if (std::min(period, span) > kMaxPeriod) {
      fail(2061, path + ".every", cat("with this call the phase repeats after ", period, " steps"),
           cat("at most ", kMaxPeriod));
    }
    // Beyond the phase's own end the period does not matter, so it need not grow without bound.
    period = std::min(period, span);
  }
  scope.steps = std::min(period, span);
  const auto always = std::make_shared<const Steps>(scope.steps, true);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const auto* when = std::get_if<Every>(&calls[i].when);
    if (when == nullptr) {
      scope.masks.push_back(always);
      continue;
    }
    const auto mask = std::make_shared<Steps>(scope.steps);
    for (const std::int64_t first : when->at) {
      for (std::int64_t step = first; step < scope.steps; step += when->every) mask->set(step);
    }
    if (mask->first() < 0) {
      fail(2062, scope.call_path(i) + ".when", cat("none of the phase's steps runs ", quote(calls[i].name)),
           "a call that runs in some step");
    }
    scope.masks.push_back(mask);
  }
}

void check_made(const Scope& scope, std::string_view name, const Steps& needed, std::size_t before, bool late,
                std::string_view path) {
  Steps missing = needed;
  Steps by_late(scope.steps);
  for (const std::size_t position : scope.makers.find(name)->second) {
    if (scope.phase.calls[position].late && !late) {
      by_late |= *scope.masks[position];
    } else if (position < before) {
      missing -= *scope.masks[position];
    }
  }
  if (missing.meets(by_late)) {
    fail(2068, path, quote(name) + " is made by a late call, after what reads it here",
         "what is not late, or a slot that the late call writes for the next step");
  }
  if (const std::int64_t step = missing.first(); step >= 0) {
    fail(2063, path, cat("in step ", step, " of the period no earlier call makes ", quote(name)),
         "exactly one earlier call in every step that needs it",
         "add a call for the missing steps, or narrow the schedule of the reader");
  }
}

namespace {

void check_late_order(const Scope& scope) {
  const Call* late = nullptr;
  for (std::size_t i = 0; i < scope.phase.calls.size(); ++i) {
    const Call& call = scope.phase.calls[i];
    if (late != nullptr && !call.late) {
      fail(2067, scope.call_path(i),
           cat(quote(call.name), " is not late and stands after ", quote(late->name), ", which is"),
           "late calls after all others");
    }
    if (call.late) late = &call;
  }
}

void check_made_once(const Scope& scope) {
  for (const auto& [name, positions] : scope.makers) {
    Steps made(scope.steps);
    for (const std::size_t position : positions) {
      if (const auto step = (made & *scope.masks[position]).first(); step >= 0) {
        fail(2064, scope.call_path(position),
             cat(quote(scope.phase.calls[position].name), " makes ", quote(name), " in step ", step,
                 ", where a call before it does"),
             "one maker per step: schedules that share no step, or another name");
      }
      made |= *scope.masks[position];
    }
  }
}

void check_slots(const Scope& scope) {
  struct Written {
    std::int64_t begin;
    std::int64_t end;
    Steps mask;
  };
  Map<std::vector<Written>> written;
  for (std::size_t position = 0; position < scope.phase.calls.size(); ++position) {
    const Steps& mask = *scope.masks[position];
    each_write(scope.phase.calls[position], [&](const std::string& port, const Binding& binding) {
      if (scope.kind(binding.name) != Kind::slot) return;
      const std::int64_t end = scope.program().slots.find(binding.name)->second.spec.shape[0];
      const View view = binding.view.value_or(View{0, end});
      Written mine{view.start, view.start + view.length, mask};
      std::vector<Written>& ranges = written[binding.name];
      Written* same = nullptr;
      for (Written& other : ranges) {
        if (mine.begin < other.end && other.begin < mine.end) {
          if (const auto step = (other.mask & mask).first(); step >= 0) {
            fail(2065, cat(scope.call_path(position), ".outputs.", port),
                 cat("slot ", quote(binding.name), " is written twice in step ", step),
                 "one write per step, or views that share no entry");
          }
        }
        if (mine.begin == other.begin && mine.end == other.end) same = &other;
      }
      if (same != nullptr) {
        same->mask |= mask;
      } else {
        ranges.push_back(std::move(mine));
      }
    });
  }
}

}  // namespace

void check_schedule(const Scope& scope) {
  check_late_order(scope);
  check_made_once(scope);
  for (std::size_t position = 0; position < scope.phase.calls.size(); ++position) {
    const Call& call = scope.phase.calls[position];
    each_read(call, [&](const std::string& key, const std::string& name) {
      if (scope.kind(name) != Kind::temporary) return;
      check_made(scope, name, *scope.masks[position], position, call.late, cat(scope.call_path(position), ".", key));
    });
  }
  check_slots(scope);
}

}  // namespace v2v_core::rules
