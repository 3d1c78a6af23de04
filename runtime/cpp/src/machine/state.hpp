// All tensors of one stream: slots, params, counters, input frames and temporaries.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "machine/counters.hpp"
#include "machine/session.hpp"
#include "machine/tensor.hpp"

namespace v2v_core {

// An index that chooses among the physical tensors of an operand. Plans hold it, commits move it.
struct Cell {
  std::uint32_t index = 0;
};

// The position of a ring: `index` is where the next entry lands, `count` how many were written.
struct RingState : Cell {
  std::int64_t length = 0;
  std::int64_t count = 0;

  void set_count(std::int64_t value) {
    count = value;
    index = static_cast<std::uint32_t>(value % length);
  }
};

// One slot: `buffers[index]` holds the value. A slot that a step writes as a whole has two buffers, and the commit
// swaps them.
struct SlotState : Cell {
  std::string name;
  std::vector<TensorPtr> buffers;
  std::vector<std::byte> init;  // empty: zeros
  std::unique_ptr<RingState> ring;
  bool to_swap = false;  // within a commit

  const TensorPtr& value() const { return buffers[index]; }
};

// The two tensors [G, H, W, 3] that take a phase's frames in turn. A step that succeeds moves the index on, so that the
// last frame of the last good step stays intact for `flush`, and late calls can still read it.
struct InputState : Cell {
  std::vector<TensorPtr> buffers;
  std::vector<std::vector<TensorPtr>> frames;
  std::size_t staged = 0;

  std::size_t gather() const { return frames[0].size(); }
  const TensorPtr& frame(std::size_t position) const { return frames[index][position]; }
};

class State {
 public:
  State(Session& session, Counters& counters);

  Map<std::unique_ptr<SlotState>> slots;
  Map<TensorPtr> params;
  Map<InputState*> inputs;  // phase -> its frames; phases of equal gather share them
  std::int64_t step = 0;
  std::int64_t frame_index = 0;

  SlotState* slot(const std::string& name) const;
  void reset(SlotState& slot);
  void make_double(SlotState& slot);

  // Every param's default, read and checked (V2V-E3012: one breaks the limits that it declares).
  Map<std::vector<std::byte>> default_params() const;
  void write_param(const std::string& name, const void* value);
  // A param, or a view of one (a copy that follows it where the view does not lie where graphs can read).
  TensorPtr param(const std::string& name, const std::optional<View>& part);

  bool reachable(const Tensor& tensor) const { return v2v_core::reachable(memory(), tensor); }
  TensorPtr allocate(DType dtype, const Shape& shape);
  std::unique_ptr<Scalars> scalars(DType dtype, std::size_t count);
  // A tensor that lives within a step of a phase; phases share memory.
  TensorPtr temporary(const std::string& phase, DType dtype, const Shape& shape);

  // The device tensor of `step`, `frame_index` or `<ring>.count`; null for another name.
  TensorPtr builtin(const std::string& name) const;
  // Brings the device's counters up to date, in one transfer, if any of them has changed.
  void upload_builtins();

  Memory& memory() const { return session_.memory(); }

 private:
  using Kind = std::pair<DType, Shape>;
  struct Part {
    std::string of;
    View view;
    TensorPtr source;
    TensorPtr tensor;
  };

  void make_inputs();

  Session& session_;
  Counters& counters_;
  std::map<std::int64_t, std::unique_ptr<InputState>> by_gather_;
  std::vector<Part> param_parts_;
  std::map<Kind, std::vector<TensorPtr>> pool_;
  std::map<std::pair<std::string, Kind>, std::size_t> taken_;
  std::vector<std::string> builtins_;
  std::vector<const std::int64_t*> sources_;  // where each builtin's value stands
  std::vector<std::int64_t> values_;
  std::vector<std::int64_t> uploaded_;
  std::unique_ptr<Scalars> scalars_;
};

}  // namespace v2v_core
