// Runs the calls of one step, or of its late part: buckets, copies beforehand, skip, checks. Nothing here allocates
// once the buffers of Progress have grown to their size.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "machine/plan.hpp"

namespace v2v_core {

// What one call has taken so far, on the host's clock.
struct CallTime {
  std::string name;  // phase/call
  std::int64_t runs = 0;
  std::int64_t total_ns = 0;
  std::int64_t last_ns = 0;
};

// What of a list of calls has run.
struct Progress {
  const std::string* phase = nullptr;
  std::vector<const StepCall*> done;                             // ran to their end
  std::vector<std::pair<const std::string*, std::int64_t>> ran;  // begun: name and bucket
  std::vector<const std::string*> left_out;                      // left out by `at_zero: skip`
  std::vector<std::pair<const Tensor*, std::int64_t>> counts;    // row counts already read in this step
  bool skipped = false;                                          // the program's skip cut the step short

  void begin(const std::string& name) {
    phase = &name;
    done.clear();
    ran.clear();
    left_out.clear();
    counts.clear();
    skipped = false;
  }
};

// What a late call reads and writes, chosen before the step's commit moves the cells: its key, and the tensors of the
// copies before it.
struct Pinned {
  Key key;
  std::vector<std::pair<const Tensor*, const Tensor*>> copies;
};

class Runner {
 public:
  Runner(Memory& memory, Counters& to, bool timing) : counters(to), memory_(memory), timing_(timing) {}

  // Runs calls in order. `pinned`: which buffers each uses; null: those of this moment. `skip`: honoured where given.
  // Throws Error: a graph failed (V2V-E3021), or is to run on a number of rows that it has not (E3022).
  void run(const std::vector<StepCall>& calls, Progress& progress, std::vector<Pinned>* pinned, const SkipPlan* skip);

  // Reads the flags that the calls filled, in one transfer (V2V-E3020: one is false).
  void check(Scalars* flags, const Progress& progress);

  void copy(const Tensor& to, const Tensor& from);  // counted

  Counters& counters;
  std::vector<CallTime> times;

 private:
  std::int64_t bucket(const StepCall& call, const RowsPlan& rows, Progress& progress);
  void timed(const StepCall& call, Run& run);

  Memory& memory_;
  bool timing_;
  Key key_;
};

}  // namespace v2v_core
