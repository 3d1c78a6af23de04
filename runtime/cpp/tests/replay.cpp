// Gives files to the fuzzed function, once each, without a fuzzer and with any compiler.
//   v2v_replay FILE...
// prints {"inputs", "whole", "peak_mb"}; whole: inputs that were read without an error.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" long v2v_fuzz_whole();  // inputs so far that were read without an error

namespace {

// The most memory of this program. getrusage would also count what the process held before it became this one.
long peak_mb() {
  std::ifstream status("/proc/self/status");
  std::string word;
  long kilobytes = 0;
  while (status >> word) {
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes / 1024;
  }
  return -1;
}

}  // namespace

int main(int count, char** arguments) {
  for (int i = 1; i < count; ++i) {
    std::ifstream file(arguments[i], std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "%s cannot be read\n", arguments[i]);
      return 2;
    }
    const std::string input{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  }
  std::printf("{\"inputs\": %d, \"whole\": %ld, \"peak_mb\": %ld}\n", count - 1, v2v_fuzz_whole(), peak_mb());
  return 0;
}
