// The machine over a memory that fails once, as a device's can, and with an allocator that fails once:
//   v2v_broken BUNDLE write|read|trace|padded FRAME
// plays 12 frames with timestamps 100, 101 ...; within frame FRAME, what is named fails ("padded": nothing does, and
// rows of what comes out lie apart). Prints {"failed": code, "counted", "shown": [[timestamp, index] ...], "owed",
// "reads": of frames}. After a failed read the frames are collected once more; a frame that failed otherwise is not
// pushed again.
#include <cstdlib>
#include <iostream>
#include <new>
#include <string>
#include <utility>

#include "alloc.hpp"
#include "error.hpp"
#include "machine/stream.hpp"
#include "nothing.hpp"

namespace {

bool break_write = false;
int break_read = -1;  // reads of frames until one fails
bool break_trace = false;
std::int64_t reads = 0;  // of frames

bool is_frame(const v2v_core::Tensor& tensor) { return tensor.shape.size() == 4; }

class BrokenMemory final : public v2v_core::HostMemory {
 public:
  void write(const v2v_core::Tensor& to, const void* host) override {
    if (is_frame(to) && std::exchange(break_write, false)) throw v2v_core::Error{4012, "the copy failed"};
    HostMemory::write(to, host);
  }
  void read(const v2v_core::Tensor& from, std::int64_t offset, std::int64_t bytes, void* host) override {
    if (is_frame(from) && break_read >= 0 && break_read-- == 0) throw v2v_core::Error{4012, "the copy failed"};
    if (is_frame(from)) ++reads;
    HostMemory::read(from, offset, bytes, host);
  }
};

void* take(void* /*user*/, std::size_t size, std::size_t alignment) {
  return std::exchange(break_trace, false) ? nullptr : std::aligned_alloc(alignment, size);
}

void give(void* /*user*/, void* block, std::size_t /*size*/, std::size_t /*alignment*/) { std::free(block); }

int play(const std::string& path, const std::string& what, std::int64_t broken) {
  constexpr std::int64_t kFrames = 12;
  const auto bundle = v2v_core::Bundle::open(path, true);
  const auto session = std::make_shared<v2v_core::Session>(bundle, bundle->manifest().variant_order.front(),
                                                           std::make_shared<v2v_test::NothingBackend<BrokenMemory>>());
  const v2v_core::TraceSink ignore = [](const std::string& /*event*/) {};
  v2v_core::Stream stream(session, what == "trace" ? ignore : v2v_core::TraceSink(), true, false);
  const v2v_core::FrameSpec& in = stream.input();
  const v2v_core::FrameSpec& out = stream.output();
  const auto most = static_cast<std::size_t>(session->program().max_frames);
  const std::vector<std::byte> frame(static_cast<std::size_t>(in.width * in.height * 3));
  const std::int64_t stride = out.width * 3 + (what == "padded" ? 5 : 0);
  std::vector<std::byte> pixels(static_cast<std::size_t>(stride * out.height));
  std::vector<v2v_core::OutputFrame> room(most, {pixels.data(), stride});
  v2v_core::json::Array shown;
  std::int64_t failed = 0;
  const auto collect = [&] {
    const std::size_t count = stream.collect(room);
    for (std::size_t k = 0; k < count; ++k) {
      shown.push_back(v2v_core::json::Array{room[k].timestamp, room[k].index});
    }
  };
  for (std::int64_t i = 0; i < kFrames; ++i) {
    const std::int64_t timestamp = 100 + i;
    break_write = i == broken && what == "write";
    break_trace = i == broken && what == "trace";
    try {
      stream.submit({frame.data(), in.width * 3}, &timestamp);
      // The last of the frames that come out together, so that those before it have been read.
      break_read = i == broken && what == "read" ? static_cast<int>(most) - 1 : -1;
      collect();
    } catch (const v2v_core::Error& error) {
      failed = error.code;
      if (what == "read") collect();
    } catch (const std::bad_alloc&) {
      failed = 3104;
    }
  }
  std::cout << v2v_core::json::dump(v2v_core::json::Object{{"failed", failed},
                                                           {"counted", stream.counters().failed},
                                                           {"shown", shown},
                                                           {"owed", stream.owed()},
                                                           {"reads", reads}})
            << '\n';
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return 2;
  const v2v_core::AllocatorScope scope({take, give, nullptr});
  try {
    return play(arguments[1], arguments[2], std::atoi(arguments[3]));
  } catch (const v2v_core::Error& error) {
    std::cerr << error.message() << '\n';
    return 1;
  }
}
