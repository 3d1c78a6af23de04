// What the handles of the C ABI stand for.
#pragma once

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
  std::unique_ptr<Stream> stream;
  std::vector<OutputFrame> room;  // of one push
};

struct SnapshotObject {
  std::shared_ptr<Context> context;
  std::unique_ptr<Snapshot> snapshot;
};

}  // namespace v2v_core::abi
