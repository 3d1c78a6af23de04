// The step trace: what the machine did, one JSON object per event, as v2v_runtime/trace.py documents it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace v2v_core {

struct Progress;

// What a step hands over; see Machine.
struct Emitted {
  std::int64_t count = 0;
  std::int64_t dropped = 0;
};

using TraceSink = std::function<void(const std::string& event)>;

std::string phase_event(const std::string& phase, std::int64_t frame_index, std::string_view cause);
std::string step_event(std::int64_t step, std::int64_t frame_index, const Progress& progress, const Emitted& emitted,
                       int failed);
std::string late_event(std::int64_t step, const Progress& progress, int failed);

}  // namespace v2v_core
