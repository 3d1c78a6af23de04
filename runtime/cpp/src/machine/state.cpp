#include "machine/state.hpp"

#include <algorithm>
#include <set>

#include "error.hpp"
#include "machine/params.hpp"

namespace v2v_core {

State::State(Session& session, Counters& counters) : session_(session), counters_(counters) {
  const Program& program = session.program();
  for (const auto& [name, declared] : program.slots) {
    auto slot = std::make_unique<SlotState>();
    slot->name = name;
    slot->buffers.push_back(allocate(concrete(declared.spec.dtype, session.float_type()), declared.spec.shape));
    if (declared.init) slot->init = session.host_value(declared.spec.dtype, declared.spec.shape, *declared.init);
    if (declared.ring) {
      slot->ring = std::make_unique<RingState>();
      slot->ring->length = declared.ring->length;
    }
    reset(*slot);
    slots.emplace(name, std::move(slot));
  }
  for (const auto& [name, param] : program.params) {
    params.emplace(name, allocate(concrete(param.spec.dtype, session.float_type()), param.spec.shape));
  }
  for (const auto& [name, value] : default_params()) write_param(name, value.data());
  make_inputs();

  std::set<std::string> read;
  for (const Phase& phase : program.phases) {
    for (const Call& call : phase.calls) {
      for (const auto& [port, binding] : call.inputs) read.insert(binding.name);
    }
  }
  for (const std::string& name : read) {
    if (name == "step") {
      sources_.push_back(&step);
    } else if (name == "frame_index") {
      sources_.push_back(&frame_index);
    } else if (name.ends_with(".count")) {
      sources_.push_back(&slot(name.substr(0, name.size() - 6))->ring->count);
    } else {
      continue;
    }
    builtins_.push_back(name);
  }
  if (!builtins_.empty()) scalars_ = scalars(DType::int64, builtins_.size());
  values_.resize(builtins_.size());
  uploaded_.reserve(builtins_.size());
}

SlotState* State::slot(const std::string& name) const {
  const auto found = slots.find(name);
  return found == slots.end() ? nullptr : found->second.get();
}

void State::reset(SlotState& slot) {
  if (slot.init.empty()) {
    memory().zero(*slot.value());
  } else {
    memory().write(*slot.value(), slot.init.data());
  }
  if (slot.ring) slot.ring->set_count(0);
}

void State::make_double(SlotState& slot) {
  if (slot.buffers.size() == 1) slot.buffers.push_back(allocate(slot.buffers[0]->dtype, slot.buffers[0]->shape));
}

Map<std::vector<std::byte>> State::default_params() const {
  Map<std::vector<std::byte>> values;
  for (const auto& [name, param] : session_.program().params) {
    std::vector<std::byte> value = session_.host_value(param.spec.dtype, param.spec.shape, param.value);
    check_limits(name, param, session_.float_type(), value);
    values.emplace(name, std::move(value));
  }
  return values;
}

void State::write_param(const std::string& name, const void* value) {
  const TensorPtr& whole = params.find(name)->second;
  memory().write(*whole, value);
  for (const Part& part : param_parts_) {
    if (part.of == name) memory().copy(*part.tensor, *part.source);
  }
}

TensorPtr State::param(const std::string& name, const std::optional<View>& part) {
  const TensorPtr& whole = params.find(name)->second;
  if (!part) return whole;
  TensorPtr found = view(whole, part->start, part->length);
  if (reachable(*found)) return found;
  for (const Part& each : param_parts_) {
    if (each.of == name && each.view == *part) return each.tensor;
  }
  TensorPtr copied = allocate(found->dtype, found->shape);
  memory().copy(*copied, *found);
  param_parts_.push_back({name, *part, std::move(found), copied});
  return copied;
}

TensorPtr State::allocate(DType dtype, const Shape& shape) {
  counters_.allocations += 1;
  return memory().allocate(dtype, shape);
}

std::unique_ptr<Scalars> State::scalars(DType dtype, std::size_t count) {
  counters_.allocations += 1;
  return std::make_unique<Scalars>(memory(), dtype, count);
}

TensorPtr State::temporary(const std::string& phase, DType dtype, const Shape& shape) {
  const Kind kind{dtype, shape};
  std::vector<TensorPtr>& tensors = pool_[kind];
  std::size_t& taken = taken_[{phase, kind}];
  if (taken == tensors.size()) tensors.push_back(allocate(dtype, shape));
  return tensors[taken++];  // counted once it is there
}

TensorPtr State::builtin(const std::string& name) const {
  const auto found = std::find(builtins_.begin(), builtins_.end(), name);
  return found == builtins_.end() ? nullptr : scalars_->tensor(static_cast<std::size_t>(found - builtins_.begin()));
}

void State::upload_builtins() {
  if (!scalars_) return;
  for (std::size_t i = 0; i < sources_.size(); ++i) values_[i] = *sources_[i];
  if (values_ == uploaded_) return;
  scalars_->write(values_);
  uploaded_ = values_;
  counters_.uploads += 1;
  counters_.uploaded_bytes += scalars_->payload();
}

void State::make_inputs() {
  const Program& program = session_.program();
  const FrameSpec& frame = program.inputs.begin()->second;
  for (const Phase& phase : program.phases) {
    std::unique_ptr<InputState>& state = by_gather_[phase.gather];
    if (!state) {
      state = std::make_unique<InputState>();
      for (int i = 0; i < 2; ++i) {
        state->buffers.push_back(allocate(DType::uint8, {phase.gather, frame.height, frame.width, 3}));
        std::vector<TensorPtr> frames;
        frames.reserve(static_cast<std::size_t>(phase.gather));
        for (std::int64_t k = 0; k < phase.gather; ++k) frames.push_back(view(state->buffers.back(), k, 1));
        state->frames.push_back(std::move(frames));
      }
    }
    inputs.emplace(phase.name, state.get());
  }
}

}  // namespace v2v_core
