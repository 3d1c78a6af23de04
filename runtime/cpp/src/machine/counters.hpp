// Exact counts of what a stream did; see v2v_runtime/counters.py.
#pragma once

#include <cstdint>

namespace v2v_core {

struct Counters {
  std::int64_t frames_in = 0;
  std::int64_t frames_out = 0;
  std::int64_t dropped = 0;
  std::int64_t steps = 0;
  std::int64_t skipped = 0;
  std::int64_t failed = 0;
  std::int64_t calls = 0;
  std::int64_t host_syncs = 0;
  std::int64_t copies = 0;
  std::int64_t copied_bytes = 0;
  std::int64_t uploads = 0;
  std::int64_t uploaded_bytes = 0;
  std::int64_t downloads = 0;
  std::int64_t downloaded_bytes = 0;
  std::int64_t allocations = 0;
  std::int64_t bindings = 0;

  // Adds what late calls counted on their own thread.
  void take(Counters& late) {
    failed += late.failed;
    calls += late.calls;
    host_syncs += late.host_syncs;
    copies += late.copies;
    copied_bytes += late.copied_bytes;
    bindings += late.bindings;
    late = {};
  }
};

}  // namespace v2v_core
