#include "machine/plan.hpp"

#include <algorithm>

namespace v2v_core {
namespace {

// Bound runs that one call keeps: rings that turn out of step have as many keys as the product of their lengths.
constexpr std::size_t kMaxRuns = 1024;

}  // namespace

CallPlan::CallPlan(const std::string& phase, const Call& call, std::vector<PortOperand> inputs,
                   std::vector<PortOperand> outputs, std::optional<RowsPlan> rows, Session& session)
    : call_(call),
      full_name_(phase + "/" + call.name),
      inputs_(std::move(inputs)),
      outputs_(std::move(outputs)),
      rows_(std::move(rows)),
      session_(session) {
  for (const auto* ports : {&inputs_, &outputs_}) {
    for (const PortOperand& port : *ports) {
      const Cell* cell = port.operand->cell;
      if (cell != nullptr && std::find(cells_.begin(), cells_.end(), cell) == cells_.end()) cells_.push_back(cell);
    }
  }
  for (const PortOperand& port : inputs_) chosen_inputs_.push_back({port.port, nullptr});
  for (const PortOperand& port : outputs_) chosen_outputs_.push_back({port.port, nullptr});
}

void CallPlan::key(Key& key) const {
  key.resize(cells_.size() + 1);
  for (std::size_t i = 0; i < cells_.size(); ++i) key[i] = cells_[i]->index;
}

Run& CallPlan::run(Key& key, std::int64_t bucket, Counters& counters) {
  key.back() = static_cast<std::uint32_t>(bucket);
  const auto found = runs_.find(key);
  if (found != runs_.end()) return *found->second->run;
  choose(inputs_, key, chosen_inputs_);
  choose(outputs_, key, chosen_outputs_);
  Run& run = runs_.size() < kMaxRuns ? bind(key) : rebind_oldest(key);
  counters.bindings += 1;
  return run;
}

void CallPlan::unbind() {
  runs_.clear();
  bound_.clear();
}

Run& CallPlan::bind(const Key& key) {
  std::list<Bound> made(1);
  made.front().run = session_.engine(call_.graph).bind(chosen_inputs_, chosen_outputs_);
  made.front().place = runs_.emplace(key, made.begin()).first;
  bound_.splice(bound_.end(), made);
  return *bound_.back().run;
}

Run& CallPlan::rebind_oldest(const Key& key) {
  const auto oldest = bound_.begin();
  Runs::node_type node = runs_.extract(oldest->place);
  try {
    oldest->run->rebind(chosen_inputs_, chosen_outputs_);
  } catch (...) {
    bound_.erase(oldest);
    throw;
  }
  node.key() = key;  // as long as the one before it
  oldest->place = runs_.insert(std::move(node)).position;
  bound_.splice(bound_.end(), bound_, oldest);
  return *oldest->run;
}

void CallPlan::choose(const std::vector<PortOperand>& ports, const Key& key, std::vector<BoundPort>& tensors) {
  const auto rows = static_cast<std::int64_t>(key.back());
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const Operand& operand = *ports[i].operand;
    std::size_t chosen = 0;
    if (operand.cell != nullptr) {
      const auto place = std::find(cells_.begin(), cells_.end(), operand.cell) - cells_.begin();
      chosen = key[static_cast<std::size_t>(place)] ^ operand.flip;
    }
    const TensorPtr& tensor = operand.tensors[chosen];
    tensors[i].tensor = ports[i].rows && rows != 0 ? leading(tensor, rows) : tensor;
  }
}

const TensorPtr& CallPlan::leading(const TensorPtr& tensor, std::int64_t rows) {
  TensorPtr& found = leading_[{tensor.get(), rows}];
  if (!found) found = view(tensor, 0, rows);
  return found;
}

}  // namespace v2v_core
