// What a phase hands over, and when it repeats its last frame instead.
#include <algorithm>

#include "manifest/scope.hpp"

namespace v2v_core::rules {
namespace {

void check_resets(const Scope& scope) {
  const auto& resets = scope.phase.resets;
  for (std::size_t i = 0; i < resets.size(); ++i) {
    const std::string path = cat(scope.path, ".resets[", i, "]");
    if (!scope.program().slots.contains(resets[i])) fail(2044, path, "there is no slot " + quote(resets[i]));
    const auto end = resets.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::find(resets.begin(), end, resets[i]) != end) fail(2040, path, quote(resets[i]) + " twice", "once");
  }
}

const TensorSpec& temporary(const Scope& scope, const std::string& name, const std::string& path, int code) {
  const auto found = scope.names.find(name);
  if (found == scope.names.end()) fail(2044, path, "nothing is called " + quote(name));
  if (found->second.kind != Kind::temporary) {
    fail(code, path, cat(quote(name), " is ", a_kind(found->second.kind)), "a temporary, made by a call of this step");
  }
  if (scope.is_partial(name)) fail(code, path, cat("rows may leave ", quote(name), " unwritten"), "a whole tensor");
  return found->second.spec;
}

const FrameSpec& output_frame(const Scope& scope) { return scope.program().outputs.begin()->second; }

std::int64_t check_emit(const Scope& scope) {
  const Phase& phase = scope.phase;
  const std::string path = scope.path + ".emit";
  if (!phase.emit) {
    if (!phase.steps) fail(2077, path, "the last phase hands nothing over", "an emit");
    return 0;
  }
  const TensorSpec& found = temporary(scope, phase.emit->tensor, path + ".tensor", 2077);
  const FrameSpec& frame = output_frame(scope);
  const Shape wanted{found.shape[0], frame.height, frame.width, 3};
  if (found.dtype != DType::uint8 || found.shape != wanted) {
    fail(2077, path + ".tensor",
         cat(quote(phase.emit->tensor), " is ", dtype_name(found.dtype), " ", shape_text(found.shape)),
         cat("uint8 [frames, ", frame.height, ", ", frame.width, ", 3], as the output"));
  }
  check_made(scope, phase.emit->tensor, Steps(scope.steps, true), phase.calls.size(), false, path + ".tensor");
  const std::int64_t frames = found.shape[0];
  if (frames > phase.gather || (!phase.steps && frames != phase.gather)) {
    fail(2077, path + ".tensor", cat(frames, " frames come out of a step that takes ", phase.gather),
         cat(phase.steps ? 1 : phase.gather, " to ", phase.gather,
             ": every frame that comes out answers one that went in"));
  }
  if (!phase.steps) return frames;
  const std::int64_t left = *phase.steps * frames - phase.emit->drop_first;
  if (left <= 0) {
    fail(2077, path + ".drop_first", cat(phase.emit->drop_first, " of ", *phase.steps * frames, " frames are dropped"),
         "a phase that hands over at least one", "leave out emit");
  }
  return std::min(frames, left);
}

void check_frame_slot(const Scope& scope, const Skip& skip, const std::string& path) {
  const auto slot = scope.program().slots.find(skip.frame);
  if (slot == scope.program().slots.end()) fail(2044, path + ".frame", "there is no slot " + quote(skip.frame));
  const FrameSpec& frame = output_frame(scope);
  const TensorSpec wanted{DType::uint8, {1, frame.height, frame.width, 3}};
  if (slot->second.spec != wanted || slot->second.ring) {
    const TensorSpec& spec = slot->second.spec;
    fail(2076, path + ".frame",
         cat(slot->second.ring ? "a ring of " : "", dtype_name(spec.dtype), " ", shape_text(spec.shape)),
         cat("uint8 ", shape_text(wanted.shape), ", no ring"));
  }
}

void check_skip(const Scope& scope, const Skip& skip, std::int64_t frames) {
  const std::string path = scope.path + ".skip";
  const TensorSpec& flag = temporary(scope, skip.tensor, path + ".tensor", 2076);
  if (flag != TensorSpec{DType::boolean, {1}}) {
    fail(2076, path + ".tensor", cat(dtype_name(flag.dtype), " ", shape_text(flag.shape)), "bool [1]");
  }
  const std::vector<std::size_t>& makers = scope.makers.find(skip.tensor)->second;
  const Call& maker = scope.phase.calls[makers.front()];
  if (makers.size() > 1 || !std::holds_alternative<std::monostate>(maker.when) || maker.late) {
    fail(2076, path + ".tensor", quote(maker.name) + " makes it in some steps, or late", "one call, in every step");
  }
  if (scope.phase.gather != 1 || frames != 1) {
    fail(2076, path, cat("a step takes ", scope.phase.gather, " frames and emits ", frames), "one and one");
  }
  check_frame_slot(scope, skip, path);
  for (std::size_t position = 0; position <= makers.front(); ++position) {
    const Call& call = scope.phase.calls[position];
    each_write(call, [&](const std::string& port, const Binding& binding) {
      const auto slot = scope.program().slots.find(binding.name);
      if (slot == scope.program().slots.end()) return;
      if (!slot->second.ring && binding.name != skip.frame) return;
      fail(2076, path,
           cat(quote(call.name), " runs before the flag is read and writes ", quote(binding.name), " through ",
               quote(port)),
           "a call after the flag: a ring's counter would move, or the frame to repeat change");
    });
  }
}

}  // namespace

std::int64_t check_emission(const Scope& scope) {
  check_resets(scope);
  const std::int64_t frames = check_emit(scope);
  if (scope.phase.skip) check_skip(scope, *scope.phase.skip, frames);
  return frames;
}

}  // namespace v2v_core::rules
