#include "machine/planner.hpp"

#include <algorithm>
#include <numeric>

#include "error.hpp"

namespace v2v_core {
namespace {

// Plans are made beforehand for the steps of one period, up to this many steps; later ones when they are met.
constexpr std::int64_t kMaxPeriod = 4096;

TensorPtr part_of(const TensorPtr& tensor, const std::optional<View>& part) {
  return part ? view(tensor, part->start, part->length) : tensor;
}

std::string part_key(const std::optional<View>& part) {
  return part ? cat("/", part->start, "/", part->length) : std::string();
}

}  // namespace

Planner::Planner(const Phase& phase, Session& session, State& state) : phase_(phase), session_(session), state_(state) {
  for (const auto& [name, slot] : state.slots) writes_.emplace(name, writes_of(name));
  for (const auto& [name, writes] : writes_) {
    const bool derived = std::any_of(writes.begin(), writes.end(), [&](const Write& write) {
      return std::holds_alternative<Changed>(phase.calls[write.position].when);
    });
    if (derived) derived_.insert(name);
    if (derived || covers(name, writes)) state.make_double(*state.slot(name));
  }
  make_flags();
  for (std::size_t i = 0; i < phase.calls.size(); ++i) {
    if (const auto* when = std::get_if<Changed>(&phase.calls[i].when)) changed_.emplace(i, when->changed);
  }
}

void Planner::prepare() {
  std::int64_t period = 1;
  for (const Call& call : phase_.calls) {
    if (const auto* when = std::get_if<Every>(&call.when)) {
      period = std::min(std::lcm(period, when->every), std::int64_t{1} << 31);
    }
  }
  period = std::min({period, phase_.steps.value_or(period), kMaxPeriod});
  Active active(phase_.calls.size());
  for (const auto& [position, params] : changed_) active[position] = true;
  schedule(0, active);
  plan(active);
  for (std::int64_t step = 0; step < period; ++step) {
    active.assign(phase_.calls.size(), false);
    schedule(step, active);
    plan(active);
  }
}

void Planner::schedule(std::int64_t step, Active& active) const {
  for (std::size_t i = 0; i < phase_.calls.size(); ++i) {
    const When& when = phase_.calls[i].when;
    if (std::holds_alternative<std::monostate>(when)) {
      active[i] = true;
    } else if (const auto* every = std::get_if<Every>(&when)) {
      if (std::binary_search(every->at.begin(), every->at.end(), step % every->every)) active[i] = true;
    }
  }
}

const StepPlan& Planner::plan(const Active& active) {
  const auto found = plans_.find(active);
  if (found != plans_.end()) return *found->second;
  auto made = std::make_unique<StepPlan>(build_plan(*this, active));
  return *plans_.emplace(active, std::move(made)).first->second;
}

void Planner::unbind() {
  for (const auto& [key, call] : calls_) call->unbind();
}

std::int64_t Planner::frames_made() {
  Active active(phase_.calls.size());
  for (const auto& [position, params] : changed_) active[position] = true;
  schedule(0, active);
  const Operand* emit = plan(active).emit;
  return emit == nullptr ? 0 : emit->tensors[0]->shape[0];
}

std::size_t Planner::position_of(const std::string& tensor) const {
  const auto makes = [&](const Call& call) {
    return std::any_of(call.outputs.begin(), call.outputs.end(),
                       [&](const auto& output) { return output.second && output.second->name == tensor; });
  };
  return static_cast<std::size_t>(std::find_if(phase_.calls.begin(), phase_.calls.end(), makes) - phase_.calls.begin());
}

std::vector<Write> Planner::writes(const std::string& name, const Active& active) const {
  std::vector<Write> found;
  for (const Write& write : writes_.find(name)->second) {
    if (active[write.position]) found.push_back(write);
  }
  return found;
}

// Whether these writes may go to the back buffer: together they fill it, or none of them runs.
bool Planner::covers(const std::string& name, const std::vector<Write>& writes) const {
  const SlotState& slot = *state_.slot(name);
  if (slot.ring || writes.empty()) return false;
  std::int64_t total = 0;
  for (const Write& write : writes) {
    if (write.in_place || (writes.size() > 1 && write.conditional)) return false;
    total += write.length;
  }
  return total == slot.buffers[0]->shape[0];
}

bool Planner::reachable(const Operand& operand) const {
  return std::all_of(operand.tensors.begin(), operand.tensors.end(),
                     [&](const TensorPtr& tensor) { return state_.reachable(*tensor); });
}

TensorPtr Planner::temporary(const std::string& name) const {
  const auto found = temps_.find(name);
  return found == temps_.end() ? nullptr : found->second;
}

template <class Make>
const Operand* Planner::operand(const std::string& key, const Make& make) {
  const auto found = operands_.find(key);
  if (found != operands_.end()) return found->second.get();
  return operands_.emplace(key, std::make_unique<Operand>(make())).first->second.get();
}

const Operand* Planner::slot_value(const std::string& name, const std::optional<View>& part, std::uint32_t flip) {
  const SlotState& slot = *state_.slot(name);
  const bool whole = !part || part->length == slot.buffers[0]->shape[0];
  const std::optional<View> used = whole ? std::nullopt : part;
  return operand(cat("slot/", name, "/", flip, part_key(used)), [&] {
    Operand made{{}, slot.buffers.size() > 1 ? &slot : nullptr, flip};
    for (const TensorPtr& buffer : slot.buffers) made.tensors.push_back(part_of(buffer, used));
    return made;
  });
}

const Operand* Planner::entry(const std::string& name) {
  return operand("entry/" + name, [&] {
    const SlotState& slot = *state_.slot(name);
    Operand made{{}, slot.ring.get(), 0};
    for (std::int64_t i = 0; i < slot.ring->length; ++i) made.tensors.push_back(view(slot.value(), i, 1));
    return made;
  });
}

const Operand* Planner::staging(const Call& call, const std::string& port) {
  return operand(cat("staging/", call.name, "/", port), [&] {
    const Graph& graph = session_.manifest().graphs.find(call.graph)->second;
    return Operand{{new_temporary(graph.outputs.find(port)->second)}};
  });
}

const Operand* Planner::fetched(const Call& call, const std::string& port) {
  return operand(cat("fetched/", call.name, "/", port), [&] {
    const Graph& graph = session_.manifest().graphs.find(call.graph)->second;
    return Operand{{new_temporary(graph.inputs.find(port)->second)}};
  });
}

// The tensor of a temporary; null `binding`: a check that is bound to nothing.
const Operand* Planner::made(const Call& call, const std::string& port, const Binding* binding) {
  const std::string key = binding == nullptr ? cat("check/", call.name, "/", port) : "temp/" + binding->name;
  return operand(key, [&] {
    TensorPtr tensor;
    if (std::find(call.check.begin(), call.check.end(), port) != call.check.end()) {
      tensor = packs_[call.late ? 1 : 0]->tensor(flag_index_.find({call.name, port})->second);
    } else {
      tensor = new_temporary(session_.manifest().graphs.find(call.graph)->second.outputs.find(port)->second);
    }
    if (binding != nullptr) temps_.insert_or_assign(binding->name, tensor);
    return Operand{{tensor}};
  });
}

// What is neither slot nor temporary of this phase: the input, a param, a const, a builtin; or a temporary's view.
const Operand* Planner::named(const std::string& name, const std::optional<View>& part) {
  return operand(cat("named/", name, part_key(part)), [&] {
    if (session_.program().inputs.contains(name)) {
      const InputState* frames = state_.inputs.find(phase_.name)->second;
      Operand made{{}, frames, 0};
      for (const TensorPtr& buffer : frames->buffers) made.tensors.push_back(part_of(buffer, part));
      return made;
    }
    if (state_.params.contains(name)) return Operand{{state_.param(name, part)}};
    if (session_.is_constant(name)) return Operand{{session_.constant(name, part)}};
    if (const TensorPtr builtin = state_.builtin(name)) return Operand{{part_of(builtin, part)}};
    return Operand{{part_of(temporary(name), part)}};
  });
}

Flag Planner::flag(const Call& call, const std::string& port) const {
  return {flag_index_.find({call.name, port})->second, port};
}

// The call over these operands, shared between plans.
CallPlan* Planner::call_plan(std::size_t position, std::vector<PortOperand> inputs, std::vector<PortOperand> outputs) {
  std::vector<std::uintptr_t> key{position};
  for (const auto* ports : {&inputs, &outputs}) {
    for (const PortOperand& port : *ports) key.push_back(reinterpret_cast<std::uintptr_t>(port.operand));
  }
  const auto found = calls_.find(key);
  if (found != calls_.end()) return found->second.get();
  const Call& call = phase_.calls[position];
  std::optional<RowsPlan> rows;
  if (call.rows) {
    rows = RowsPlan{temporary(call.rows->count), session_.buckets(phase_.name, call.name, *call.rows),
                    call.rows->skip_at_zero};
  }
  auto made =
      std::make_unique<CallPlan>(phase_.name, call, std::move(inputs), std::move(outputs), std::move(rows), session_);
  return calls_.emplace(std::move(key), std::move(made)).first->second.get();
}

TensorPtr Planner::new_temporary(const TensorSpec& spec) {
  return state_.temporary(phase_.name, concrete(spec.dtype, session_.float_type()), spec.shape);
}

std::vector<Write> Planner::writes_of(const std::string& name) const {
  std::vector<Write> found;
  for (std::size_t i = 0; i < phase_.calls.size(); ++i) {
    const Call& call = phase_.calls[i];
    for (const auto& [port, binding] : call.outputs) {
      if (!binding || binding->name != name) continue;
      const View part = binding->view.value_or(View{0, state_.slot(name)->buffers[0]->shape[0]});
      const auto& in_place = session_.in_place(phase_.name, call);
      found.push_back({i, port, part.start, part.length,
                       std::find(in_place.begin(), in_place.end(), port) != in_place.end(),
                       call.rows && call.rows->skip_at_zero});
    }
  }
  return found;
}

void Planner::make_flags() {
  for (const bool late : {false, true}) {
    Map<std::size_t> places;
    for (const Call& call : phase_.calls) {
      if (call.late != late) continue;
      for (const std::string& port : call.check) {
        const auto& binding = call.outputs.find(port)->second;
        const std::string place = binding ? binding->name : cat(call.name, "/", port);
        flag_index_[{call.name, port}] = places.emplace(place, places.size()).first->second;
      }
    }
    if (!places.empty()) packs_[late ? 1 : 0] = state_.scalars(DType::boolean, places.size());
  }
}

}  // namespace v2v_core
