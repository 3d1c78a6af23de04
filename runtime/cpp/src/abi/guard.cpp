#include "abi/guard.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace v2v_core::abi {
namespace {

// Text of a fixed size.
class Line {
 public:
  Line(char* to, std::size_t size) : to_(to), left_(size - 1) { *to_ = '\0'; }

  void add(std::string_view text) {
    std::size_t count = std::min(text.size(), left_);
    // Not in the middle of a character.
    while (count < text.size() && count > 0 && (static_cast<unsigned char>(text[count]) & 0xC0U) == 0x80U) --count;
    std::memcpy(to_, text.data(), count);
    to_ += count;
    left_ = count < text.size() ? 0 : left_ - count;
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

std::string_view plain_words(int code) {
  if (code == V2V_E_NO_MEMORY) return "there is not enough memory";
  if (code == V2V_E_INTERNAL) return "an unexpected failure inside the library";
  return {};
}

}  // namespace

v2v_status report(const Context* context, v2v_error* error, const Error& found, v2v_log_level level) noexcept {
  v2v_error local;
  v2v_error& to = error == nullptr ? local : *error;
  Line line(to.message, sizeof to.message);
  line.add("[V2V-E");
  line.add(found.code);
  line.add("] ");
  line.add(found.seen.empty() ? plain_words(found.code) : std::string_view(found.seen));
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
