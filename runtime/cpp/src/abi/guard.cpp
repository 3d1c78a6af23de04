#include "abi/guard.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "utf8.hpp"

namespace v2v_core::abi {
namespace {

// Text of a fixed size, UTF-8 and without controls: paths and names of the caller's or a bundle's may be anything.
// Lines of a message within it, which are indented, stay.
class Line {
 public:
  Line(char* to, std::size_t size) : to_(to), left_(size - 1) { *to_ = '\0'; }

  // As many whole characters as there is room for.
  void add(std::string_view text) {
    constexpr std::string_view kUnknown = "\xEF\xBF\xBD";
    constexpr std::string_view kNextLine = "\n  ";
    std::array<char, 4> room{};
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = utf8_length(text, at);
      const std::string_view found = length == 0 ? kUnknown : text.substr(at, length);
      const std::string_view part = text.substr(at).starts_with(kNextLine) ? found : shown(found, room);
      if (part.size() > left_) {
        left_ = 0;
        break;
      }
      std::memcpy(to_, part.data(), part.size());
      to_ += part.size();
      left_ -= part.size();
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

void inform(const Context* context, std::string_view what, std::string_view name) noexcept {
  if (context == nullptr) return;
  char words[2040];
  Line line(words, sizeof words);
  line.add(what);
  line.add(name);
  context->say(V2V_LOG_INFO, words);
}

}  // namespace v2v_core::abi
