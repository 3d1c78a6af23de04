#include "machine/trace.hpp"

#include "error.hpp"
#include "json/value.hpp"
#include "machine/runner.hpp"

namespace v2v_core {
namespace {

json::Value code(int failed) { return failed == 0 ? json::Value() : json::Value(cat("V2V-E", failed)); }

json::Value calls(const Progress& progress) {
  json::Array ran;
  for (const auto& [name, bucket] : progress.ran) {
    ran.push_back(json::Array{json::Value(*name), bucket == 0 ? json::Value() : json::Value(bucket)});
  }
  return ran;
}

json::Value left_out(const Progress& progress) {
  json::Array names;
  for (const std::string* name : progress.left_out) names.emplace_back(*name);
  return names;
}

}  // namespace

std::string phase_event(const std::string& phase, std::int64_t frame_index, std::string_view cause) {
  return json::dump(
      json::Object{{"event", "phase"}, {"phase", phase}, {"frame_index", frame_index}, {"cause", std::string(cause)}});
}

std::string step_event(std::int64_t step, std::int64_t frame_index, const Progress& progress, const Emitted& emitted,
                       int failed) {
  return json::dump(json::Object{{"event", "step"},
                                 {"phase", *progress.phase},
                                 {"step", step},
                                 {"frame_index", frame_index},
                                 {"calls", calls(progress)},
                                 {"left_out", left_out(progress)},
                                 {"skipped", progress.skipped},
                                 {"emitted", emitted.count},
                                 {"dropped", emitted.dropped},
                                 {"failed", code(failed)}});
}

std::string late_event(std::int64_t step, const Progress& progress, int failed) {
  return json::dump(json::Object{{"event", "late"},
                                 {"phase", *progress.phase},
                                 {"step", step},
                                 {"calls", calls(progress)},
                                 {"left_out", left_out(progress)},
                                 {"failed", code(failed)}});
}

}  // namespace v2v_core
