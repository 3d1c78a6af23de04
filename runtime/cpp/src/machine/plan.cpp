#include "machine/plan.hpp"

#include <algorithm>

namespace v2v_core {
namespace {

// Bound runs that one call keeps. A program whose rings turn out of step could otherwise bind without end.
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
}

void CallPlan::key(Key& key) const {
  key.resize(cells_.size() + 1);
  for (std::size_t i = 0; i < cells_.size(); ++i) key[i] = cells_[i]->index;
}

Run& CallPlan::run(Key& key, std::int64_t bucket, Counters& counters) {
  key.back() = static_cast<std::uint32_t>(bucket);
  const auto found = runs_.find(key);
  if (found != runs_.end()) return *found->second;
  if (runs_.size() >= kMaxRuns) runs_.clear();
  std::unique_ptr<Run> run =
      session_.engine(call_.graph).bind(tensors(inputs_, key, bucket), tensors(outputs_, key, bucket));
  counters.bindings += 1;
  return *runs_.emplace(key, std::move(run)).first->second;
}

std::vector<BoundPort> CallPlan::tensors(const std::vector<PortOperand>& ports, const Key& key,
                                         std::int64_t bucket) const {
  std::vector<BoundPort> bound;
  bound.reserve(ports.size());
  for (const PortOperand& port : ports) {
    const Operand& operand = *port.operand;
    std::size_t chosen = 0;
    if (operand.cell != nullptr) {
      const auto place = std::find(cells_.begin(), cells_.end(), operand.cell) - cells_.begin();
      chosen = key[static_cast<std::size_t>(place)] ^ operand.flip;
    }
    const TensorPtr& tensor = operand.tensors[chosen];
    bound.push_back({port.port, port.rows && bucket != 0 ? view(tensor, 0, bucket) : tensor});
  }
  return bound;
}

}  // namespace v2v_core
