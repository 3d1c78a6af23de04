// The machine over a backend that does nothing: what a step costs, and that it allocates nothing.
//   v2v_machine BUNDLE STEPS
// prints {"own_us", "best_us", "allocations"}: microseconds per push (median and least of blocks of steps), and calls
// of the allocator in those steps.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "alloc.hpp"
#include "error.hpp"
#include "machine/stream.hpp"
#include "nothing.hpp"

namespace {

long taken = 0;

void* count_and_take(void* /*user*/, std::size_t size, std::size_t alignment) {
  ++taken;
  return std::aligned_alloc(alignment, size);
}

void give_back(void* /*user*/, void* block, std::size_t /*size*/, std::size_t /*alignment*/) { std::free(block); }

int play(const std::string& path, int steps) {
  const auto bundle = v2v_core::Bundle::open(path, true);
  const auto session =
      std::make_shared<v2v_core::Session>(bundle, bundle->manifest().variant_order.front(),
                                          std::make_shared<v2v_test::NothingBackend<v2v_core::HostMemory>>());
  v2v_core::Stream stream(session, {}, false, false);
  const v2v_core::FrameSpec& in = stream.input();
  const v2v_core::FrameSpec& out = stream.output();
  std::vector<std::byte> frame(static_cast<std::size_t>(in.width * in.height * 3));
  std::vector<std::byte> room(static_cast<std::size_t>(out.width * out.height * 3));
  const auto push = [&] {
    v2v_core::OutputFrame shown{room.data(), out.width * 3};
    stream.submit({frame.data(), in.width * 3}, nullptr);
    stream.collect({&shown, 1});
  };
  constexpr int kWarmUp = 64;
  constexpr int kBlock = 50;
  for (int i = 0; i < kWarmUp; ++i) push();
  std::vector<double> blocks;
  blocks.reserve(static_cast<std::size_t>(steps / kBlock));
  const long before = taken;
  for (int block = 0; block < steps / kBlock; ++block) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kBlock; ++i) push();
    blocks.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() /
                     kBlock);
  }
  const long allocations = taken - before;
  if (stream.counters().frames_out != kWarmUp + steps / kBlock * kBlock)
    throw v2v_core::Error{3105, "frames are missing"};
  std::sort(blocks.begin(), blocks.end());
  std::cout << v2v_core::json::dump(v2v_core::json::Object{{"own_us", blocks[blocks.size() / 2]},
                                                           {"best_us", blocks.front()},
                                                           {"allocations", std::int64_t{allocations}}})
            << '\n';
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  const v2v_core::AllocatorScope scope({count_and_take, give_back, nullptr});
  try {
    return play(arguments[1], std::atoi(arguments[2]));
  } catch (const v2v_core::Error& error) {
    std::cerr << error.message() << '\n';
    return 1;
  }
}
