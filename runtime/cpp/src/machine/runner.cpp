#include "machine/runner.hpp"

#include <algorithm>
#include <chrono>
#include <exception>

#include "error.hpp"

namespace v2v_core {

void Runner::run(const std::vector<StepCall>& calls, Progress& progress, std::vector<Pinned>* pinned,
                 const SkipPlan* skip) {
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const StepCall& call = calls[i];
    std::int64_t rows = 0;
    if (const std::optional<RowsPlan>& planned = call.plan->rows(); planned) {
      rows = bucket(call, *planned, progress);
      if (rows < 0) {
        progress.left_out.push_back(&call.plan->name());
        continue;
      }
    }
    progress.ran.emplace_back(&call.plan->name(), rows);
    if (pinned == nullptr) {
      call.plan->key(key_);
      for (const Copy& each : call.prepare) copy(*each.target->now(), *each.source->now());
    } else {
      for (const auto& [target, source] : (*pinned)[i].copies) copy(*target, *source);
    }
    try {
      Run& bound = call.plan->run(pinned == nullptr ? key_ : (*pinned)[i].key, rows, counters);
      if (timing_) {
        timed(call, bound);
      } else {
        bound();
      }
    } catch (const Error& error) {
      throw Error{3021,
                  cat("the step failed: call ", quote(call.plan->name()), " of phase ", quote(*progress.phase), ": ",
                      error.message()),
                  "", "the state is as before; the next frame starts a new step"};
    }
    counters.calls += 1;
    for (const Copy& each : call.finish) copy(*each.target->now(), *each.source->now());
    progress.done.push_back(&call);
    if (skip != nullptr && i == skip->after) {
      counters.host_syncs += 1;
      std::byte flag{0};
      memory_.read(*skip->flag, 0, 1, &flag);
      if (flag != std::byte{0}) {
        progress.skipped = true;
        return;
      }
    }
  }
}

void Runner::check(Scalars* flags, const Progress& progress) {
  const bool any = std::any_of(progress.done.begin(), progress.done.end(),
                               [](const StepCall* call) { return !call->flags.empty(); });
  if (!any) return;
  counters.host_syncs += 1;
  flags->read();
  std::string bad;
  for (const StepCall* call : progress.done) {
    for (const Flag& flag : call->flags) {
      if (!flags->flag(flag.index)) bad += cat(bad.empty() ? "" : ", ", call->plan->name(), ".", flag.port);
    }
  }
  if (bad.empty()) return;
  throw Error{3020,
              cat("the step failed: ", bad, " of phase ", quote(*progress.phase), " says that a result is not finite"),
              "finite numbers", "the state is as before; look at the frame, the params and the precision"};
}

void Runner::copy(const Tensor& to, const Tensor& from) {
  memory_.copy(to, from);
  counters.copies += 1;
  counters.copied_bytes += from.bytes;
}

// The bucket to run a call on, or -1 to leave it out.
std::int64_t Runner::bucket(const StepCall& call, const RowsPlan& rows, Progress& progress) {
  const auto known = std::find_if(progress.counts.begin(), progress.counts.end(),
                                  [&](const auto& entry) { return entry.first == rows.count.get(); });
  std::int64_t count = 0;
  if (known != progress.counts.end()) {
    count = known->second;
  } else {
    counters.host_syncs += 1;
    std::int32_t read = 0;
    memory_.read(*rows.count, 0, sizeof read, &read);
    count = read;
    progress.counts.emplace_back(rows.count.get(), count);
  }
  if (count == 0 && rows.skip_at_zero) return -1;
  if (count >= 0 && count <= rows.buckets.back()) {
    return *std::lower_bound(rows.buckets.begin(), rows.buckets.end(), count);
  }
  throw Error{3022,
              cat("the step failed: call ", quote(call.plan->name()), " of phase ", quote(*progress.phase), " got ",
                  count, " rows"),
              cat("0 to ", rows.buckets.back()), "the graph that counts the rows is wrong; the state is as before"};
}

void Runner::timed(const StepCall& call, Run& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  const auto taken = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start);
  const std::string& name = call.plan->full_name();
  auto entry = std::find_if(times.begin(), times.end(), [&](const CallTime& each) { return each.name == name; });
  if (entry == times.end()) entry = times.insert(times.end(), CallTime{name});
  entry->runs += 1;
  entry->total_ns += taken.count();
  entry->last_ns = taken.count();
}

}  // namespace v2v_core
