// A bundle on disk, opened: its manifest, graphs, blobs and targets, each checked before it is used.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/blobs.hpp"
#include "bundle/safe_files.hpp"
#include "manifest/model.hpp"

namespace v2v_core {

// One tensor of a blob's file; keeps the file's bytes alive.
struct Blob {
  std::shared_ptr<const std::string> file;
  TensorEntry entry;

  std::string_view bytes() const {
    return std::string_view(*file).substr(static_cast<std::size_t>(entry.begin),
                                          static_cast<std::size_t>(entry.end - entry.begin));
  }
};

// It never changes, so threads may share it.
class Bundle {
 public:
  // `full` hashes every graph and blob; else their content is trusted. Throws Error: V2V-E1xxx, V2V-E2xxx.
  static std::shared_ptr<Bundle> open(const std::string& path, bool full);

  const Manifest& manifest() const { return manifest_; }
  const std::string& root() const { return root_; }

  // Names of the targets present, read anew.
  std::vector<std::string> targets() const;
  // By name, by profile where that is clear, or the only one (E1020, E1021, E1022 and what its files give).
  Target target(const std::optional<std::string>& name) const;

  // The bytes of one file of a target (an engine): what is returned is what was hashed (E1010 to E1015; E1022: it is
  // not among the target's files).
  std::string target_file(const Target& target, const std::string& path) const;

  // The hashes of the engines that the target's `target.json` lists, if that file's own hash is among `trust`: what is
  // hashed is what is read (E1004 to E1016, E2001 to E2080).
  std::vector<std::string> listed_engines(const Target& target, const std::vector<std::string>& trust) const;

  // The ONNX file of a graph, if every listed file is what it was when the bundle was opened: those that may have been
  // changed since are hashed again (E1010 to E1015).
  std::string graph_path(const std::string& variant, const std::string& graph) const;

  // A tensor as stored; its file is hashed as it is read (E1010 to E1015, E1030 to E1034).
  Blob blob(const BlobRef& ref) const;

  // What is shared under `key` while somebody holds it, or a new one from `make`. Who asks for the same key meanwhile
  // waits for it; other keys go on.
  template <class T, class Make>
  std::shared_ptr<T> shared(const std::string& key, const Make& make) {
    std::unique_lock guard(shared_lock_);
    Shared& place = shared_[key];
    shared_made_.wait(guard, [&] { return !place.making; });
    if (const std::shared_ptr<void> found = place.made.lock()) return std::static_pointer_cast<T>(found);
    place.making = true;
    guard.unlock();
    std::shared_ptr<T> made;
    try {
      made = make();
    } catch (...) {
      keep(place, {});
      throw;
    }
    keep(place, made);
    return made;
  }

 private:
  Bundle(std::string root, Manifest manifest) : root_(std::move(root)), manifest_(std::move(manifest)) {}
  Target read_target(const std::string& name) const;

  struct Shared {
    std::weak_ptr<void> made;
    bool making = false;
  };
  void keep(Shared& place, const std::shared_ptr<void>& made) {
    const std::lock_guard guard(shared_lock_);
    place.made = made;
    place.making = false;
    shared_made_.notify_all();
  }

  std::string root_;
  Manifest manifest_;
  std::mutex shared_lock_;
  std::condition_variable shared_made_;
  Map<Shared> shared_;  // under shared_lock_; entries stay where they are
  mutable std::mutex lock_;
  mutable std::vector<files::Stamp> stamps_;  // this and what follows: under lock_
  mutable std::string last_path_;
  mutable std::shared_ptr<const std::string> last_file_;
  mutable Map<TensorEntry> last_entries_;
};

}  // namespace v2v_core
