// What the handles of the C ABI stand for.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "abi/guard.hpp"
#include "bundle/bundle.hpp"
#include "machine/stream.hpp"

namespace v2v_core::abi {

struct BundleObject {
  std::shared_ptr<Context> context;
  std::shared_ptr<Bundle> bundle;
};

struct StreamObject {
  std::shared_ptr<Context> context;
  std::atomic_flag busy = ATOMIC_FLAG_INIT;  // a thread is inside, or the stream is gone
  std::unique_ptr<Stream> stream;            // for whom `busy` was clear
  std::vector<OutputFrame> room;             // of one push; likewise
};

// A thread's stay inside a stream, which refuses a second one (V2V-E3004).
class Turn {
 public:
  explicit Turn(StreamObject& stream) : stream_(stream) {
    if (stream.busy.test_and_set(std::memory_order_acquire)) {
      throw Error{V2V_E_BUSY, "another thread is inside this stream", "one thread at a time",
                  "open one stream per thread; they share the bundle's engines"};
    }
  }
  ~Turn() {
    if (!last_) stream_.busy.clear(std::memory_order_release);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  void keep() { last_ = true; }  // lets nobody in after this one

 private:
  StreamObject& stream_;
  bool last_ = false;
};

struct SnapshotObject {
  std::shared_ptr<Context> context;
  std::unique_ptr<Snapshot> snapshot;
};

}  // namespace v2v_core::abi
