#include "abi/guard.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "utf8.hpp"

namespace v2v_core::abi {
namespace {

// Text of a fixed size, UTF-8: paths and names of the caller's may be none.
class Line {
 public:
  Line(char* to, std::size_t size) : to_(to), left_(size - 1) { *to_ = '\0'; }

  // As many whole characters as there is room for.
  void add(std::string_view text) {
    constexpr std::string_view kUnknown = "\xEF\xBF\xBD";
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = utf8_length(text, at);
      const std::string_view shown = length == 0 ? kUnknown : text.substr(at, length);
      if (shown.size() > left_) {
        left_ = 0;
        break;
      }
      std::memcpy(to_, shown.data(), shown.size());
      to_ += shown.size();
      left_ -= shown.size();
      at += std::max<std::size_t>(length, 1);
    }
    *to_ = '\0';
  }
  void add(int number) {
    char digits[16];
    const auto end = std::to_chars(digits, digits + sizeof digits, number);
    add(std::string_view(digits, static_cast<std::size_t>(end.ptr - digits)));
  }

 private:
  char* to_;
  std::size_t left_;
};

}  // namespace

v2v_status report(const Context* context, v2v_error* error, const Error& found, v2v_log_level level) noexcept {
  v2v_error local;
  v2v_error& to = error == nullptr ? local : *error;
  Line line(to.message, sizeof to.message);
  line.add("[V2V-E");
  line.add(found.code);
  line.add("] ");
  line.add(found.words());
  if (!found.expected.empty()) {
    line.add("\n  expected: ");
    line.add(found.expected);
  }
  if (!found.fix.empty()) {
    line.add("\n  to do: ");
    line.add(found.fix);
  }
  to.code = found.code;
  if (context != nullptr) context->say(level, to.message);
  return found.code;
}

}  // namespace v2v_core::abi
