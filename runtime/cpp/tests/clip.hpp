// A clip played by a backend, and what two backends made of it.
#pragma once

#include <algorithm>
#include <iostream>
#include <memory>
#include <vector>

#include "error.hpp"
#include "machine/stream.hpp"

namespace v2v_test {

using Clip = std::vector<std::vector<std::byte>>;

// Every frame of a clip of `steps` frames, a reset, and half the clip again.
inline Clip play(const std::shared_ptr<v2v_core::Session>& session, int steps) {
  v2v_core::Stream stream(session, {}, true, false);
  const v2v_core::FrameSpec& in = stream.input();
  const v2v_core::FrameSpec& out = stream.output();
  Clip shown;
  const auto push = [&](int seed) {
    std::vector<std::byte> frame(static_cast<std::size_t>(in.width * in.height * 3));
    for (std::size_t i = 0; i < frame.size(); ++i)
      frame[i] = static_cast<std::byte>((i * 7 + static_cast<std::size_t>(seed) * 3) % 20);
    stream.submit({frame.data(), in.width * 3}, nullptr);
    Clip room(16, std::vector<std::byte>(static_cast<std::size_t>(out.width * out.height * 3)));
    std::vector<v2v_core::OutputFrame> outputs;
    outputs.reserve(room.size());
    for (auto& each : room) outputs.push_back({each.data(), out.width * 3});
    const std::size_t count = stream.collect(outputs);
    shown.insert(shown.end(), room.begin(), room.begin() + static_cast<std::ptrdiff_t>(count));
  };
  for (int i = 0; i < steps; ++i) push(i);
  stream.reset(false);
  for (int i = 0; i < steps / 2; ++i) push(i + 5);
  return shown;
}

// Prints {"frames", "expected", "same"}: frames handed over, frames that were expected, and how many are the same.
inline void print_same(const Clip& found, const Clip& expected) {
  std::int64_t same = 0;
  for (std::size_t i = 0; i < std::min(found.size(), expected.size()); ++i) same += found[i] == expected[i] ? 1 : 0;
  std::cout << v2v_core::json::dump(v2v_core::json::Object{{"frames", static_cast<std::int64_t>(found.size())},
                                                           {"expected", static_cast<std::int64_t>(expected.size())},
                                                           {"same", same}})
            << '\n';
}

}  // namespace v2v_test
