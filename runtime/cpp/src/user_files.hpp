// Files of the user beside every bundle: which engines were built here, and kernels that were compiled here. Names and
// contents are those that v2v_runtime/trust.py and v2v_runtime/backends/jit_cache.py give them, so both share them.
#pragma once

#include <string>
#include <string_view>

namespace v2v_core {

// Whether a builder of this user made an engine of that hash on this machine (folder: V2V_TRUST, or in the user's
// data).
bool built_here(const std::string& sha256);

// Kernels that TensorRT for RTX compiles at run time (folder: V2V_JIT_CACHE, or in the user's cache). They are good for
// what `key` says: an engine, a version, a GPU model, a driver. A file that cannot be read or written costs seconds at
// the next start and nothing else.
class JitCache {
 public:
  explicit JitCache(std::string_view key);

  std::string read() const;  // empty: there is none
  void write(std::string_view kernels) const;

 private:
  std::string folder_;  // empty: the user has none
  std::string name_;
};

}  // namespace v2v_core
