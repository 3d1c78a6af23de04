#include <algorithm>
#include <new>

#include "backends/tensorrt_sdk.hpp"

namespace v2v_core::trt {
namespace {

constexpr std::size_t kKept = 2;

// Runs of spaces and line ends become one space; none at the ends.
std::string on_one_line(const std::string& text) {
  constexpr std::string_view kBlank = " \t\r\n\v\f";
  std::string line;
  for (std::size_t at = text.find_first_not_of(kBlank); at != std::string::npos;) {
    const std::size_t end = std::min(text.find_first_of(kBlank, at), text.size());
    if (!line.empty()) line += ' ';
    line.append(text, at, end - at);
    at = text.find_first_not_of(kBlank, end);
  }
  return line;
}

}  // namespace

void Words::add(const char* text) noexcept {
  try {
    const std::lock_guard guard(lock_);
    if (told_.size() == kKept) told_.erase(told_.begin());
    told_.emplace_back(text == nullptr ? "" : text);
  } catch (const std::bad_alloc&) {
    return;  // an error without its words is told all the same
  }
}

void Words::clear() {
  const std::lock_guard guard(lock_);
  told_.clear();
}

std::string Words::last() {
  const std::lock_guard guard(lock_);
  std::string all;
  for (const std::string& each : told_) all += each + " ";
  const std::string line = on_one_line(all);
  return line.empty() ? "it gave no reason" : line;
}

}  // namespace v2v_core::trt
