// Runs the fuzzed function without a fuzzer: the corpus, then mutations of it from a seed.
//   v2v_mutate SEED INPUTS FILE...
// prints {"inputs", "whole", "slowest_ms" of processor time, "peak_mb"}; whole: files of the corpus that were read
// without an error.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" long v2v_fuzz_whole();  // inputs so far that were read without an error

namespace {

class Mutator {
 public:
  Mutator(std::uint32_t seed, std::vector<std::string> corpus) : random_(seed), corpus_(std::move(corpus)) {}

  const std::vector<std::string>& corpus() const { return corpus_; }

  std::string next() {
    std::string text = corpus_[below(corpus_.size())];
    for (std::size_t i = below(6) + 1; i > 0; --i) mutate(text);
    return text;
  }

 private:
  std::size_t below(std::size_t end) { return std::uniform_int_distribution<std::size_t>(0, end - 1)(random_); }

  void mutate(std::string& text) {
    static const std::vector<std::string> kWords{
        "null",       "true",    "-1",   "0",    "1e999",   "18446744073709551616",
        "{}",         "[]",      "\"\"", "NaN",  "\\u0000", "\\ud800",
        "..",         "forever", "step", "\x00", "\xff",    "[[[",
        "2147483647", "\n%% ",   " -> ", " = "};
    if (text.empty()) text = "{";
    const std::size_t at = below(text.size());
    const std::size_t length = std::min(text.size() - at, below(40) + 1);
    switch (below(7)) {
      case 0:
        text[at] = static_cast<char>(below(256));
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(at, kWords[below(kWords.size())]);
        break;
      case 3:
        text.replace(at, length, kWords[below(kWords.size())]);
        break;
      case 4:
        text.insert(below(text.size()), text.substr(at, length));
        break;
      case 5: {
        const std::string& other = corpus_[below(corpus_.size())];
        if (!other.empty()) text.replace(at, length, other.substr(below(other.size()), below(200) + 1));
        break;
      }
      default:
        text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
    }
  }

  std::mt19937 random_;
  std::vector<std::string> corpus_;
};

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
  if (count < 4) return 2;
  std::vector<std::string> corpus;
  for (int i = 3; i < count; ++i) {
    std::ifstream file(arguments[i], std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  Mutator mutator(static_cast<std::uint32_t>(std::atol(arguments[1])), std::move(corpus));
  const long inputs = std::atol(arguments[2]);
  double slowest = 0;
  const auto read = [&](const std::string& text) {
    const std::clock_t start = std::clock();  // the processor's time: others may share the machine
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
    slowest = std::max(slowest, static_cast<double>(std::clock() - start) * 1e3 / CLOCKS_PER_SEC);
  };
  for (const std::string& text : mutator.corpus()) read(text);
  const long whole = v2v_fuzz_whole();
  for (long i = 0; i < inputs; ++i) read(mutator.next());
  std::printf("{\"inputs\": %ld, \"whole\": %ld, \"slowest_ms\": %.3f, \"peak_mb\": %ld}\n", inputs, whole, slowest,
              peak_mb());
  return 0;
}
