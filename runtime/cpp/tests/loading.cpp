// Streams of one bundle go on while another loads its engines:
//   v2v_loading BUNDLE PHASE
// Two streams enter PHASE, each on a thread of its own. Loading takes until a third stream, which plays the first
// phase, has pushed its frames, each of which is bound anew; and making one thing that the bundle shares until another
// is made. Prints {"loads": of PHASE's engines, "shown": frames while they loaded, "shared": things made meanwhile,
// "makers": how often the first thing was made for the two threads that asked for it}.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>

#include "error.hpp"
#include "machine/stream.hpp"
#include "nothing.hpp"

namespace {

constexpr int kFrames = 2;

// Waits until `done`; false where that does not come, so that a stall ends the program.
template <class Done>
bool comes(const Done& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

std::atomic<bool> slow{false};
std::atomic<int> loading{0};
std::atomic<int> shown{0};
std::atomic<int> shown_meanwhile{0};

class SlowBackend final : public v2v_core::Backend {
 public:
  v2v_core::Memory& memory() override { return memory_; }
  std::unique_ptr<v2v_core::Engine> load(const v2v_core::EngineSpec& /*spec*/) override {
    if (slow) {
      ++loading;
      comes([] { return shown >= kFrames; });
      shown_meanwhile = shown.load();
    }
    return std::make_unique<v2v_test::NothingEngine>();
  }

 private:
  v2v_core::HostMemory memory_;
};

void play(v2v_core::Stream& stream) {
  const v2v_core::FrameSpec& in = stream.input();
  const v2v_core::FrameSpec& out = stream.output();
  const std::vector<std::byte> frame(static_cast<std::size_t>(in.width * in.height * 3));
  std::vector<std::byte> room(static_cast<std::size_t>(out.width * out.height * 3));
  for (int i = 0; i < kFrames; ++i) {
    v2v_core::OutputFrame made{room.data(), out.width * 3};
    stream.submit({frame.data(), in.width * 3}, nullptr);
    shown += static_cast<int>(stream.collect({&made, 1}));
  }
}

std::pair<int, int> share(v2v_core::Bundle& bundle) {
  std::atomic<int> makers{0};
  std::atomic<bool> quick{false};
  std::atomic<int> meanwhile{0};
  const auto ask = [&] {
    return bundle.shared<int>("slow", [&] {
      ++makers;
      meanwhile = comes([&] { return quick.load(); }) ? 1 : 0;
      return std::make_shared<int>(1);
    });
  };
  std::shared_ptr<int> first;
  std::shared_ptr<int> second;
  std::thread one([&] { first = ask(); });
  std::thread two([&] { second = ask(); });
  comes([&] { return makers > 0; });
  const auto other = bundle.shared<int>("quick", [] { return std::make_shared<int>(2); });
  quick = true;
  one.join();
  two.join();
  if (first != second) throw v2v_core::Error{3105, "two who asked for one thing got two"};
  return {meanwhile, makers};
}

int run(const std::string& path, const std::string& phase) {
  const auto bundle = v2v_core::Bundle::open(path, true);
  const auto session = std::make_shared<v2v_core::Session>(bundle, bundle->manifest().variant_order.front(),
                                                           std::make_shared<SlowBackend>());
  v2v_core::Stream playing(session, {}, true, false);
  v2v_core::Stream entering(session, {}, true, false);
  v2v_core::Stream waiting(session, {}, true, false);
  slow = true;
  std::thread one([&] { entering.enter(phase); });
  std::thread two([&] { waiting.enter(phase); });
  comes([] { return loading > 0; });
  play(playing);
  one.join();
  two.join();
  slow = false;
  const auto [meanwhile, makers] = share(*bundle);
  std::cout << v2v_core::json::dump(v2v_core::json::Object{{"loads", std::int64_t{loading}},
                                                           {"shown", std::int64_t{shown_meanwhile}},
                                                           {"shared", std::int64_t{meanwhile}},
                                                           {"makers", std::int64_t{makers}}})
            << '\n';
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  try {
    return run(arguments[1], arguments[2]);
  } catch (const v2v_core::Error& error) {
    std::cerr << error.message() << '\n';
    return 1;
  }
}
