// What is fuzzed: the reader of bundle folders. An input says what stands in a folder:
//   one byte of flags, then for each file a line "%% PATH" and, from the next line on, its bytes up to "\n%% "
// "PATH -> TARGET" makes a symbolic link, "PATH = OTHER" a hard link, "PATH/" a folder. What a writer would compute is
// put right first, as far as the flags say: the list of files with their sizes and hashes, the identity, the seals;
// else no input would get behind them.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

#include "bundle/bundle.hpp"
#include "limits.hpp"
#include "sha256.hpp"

namespace {

namespace fs = std::filesystem;
using v2v_core::cat;
using v2v_core::json::Array;
using v2v_core::json::Object;
using v2v_core::json::Value;

// Bits of the first byte.
constexpr unsigned kWrongFiles = 1;
constexpr unsigned kWrongIdentity = 2;
constexpr unsigned kWrongSeal = 4;
constexpr unsigned kTrustSizes = 8;

constexpr std::string_view kMark = "%% ";

long opened = 0;

struct File {
  std::string path;
  std::string content;
};

// A folder in memory where there is one, else in the folder for temporary files; empty again for each input.
class Folder {
 public:
  Folder() {
    const std::array<const char*, 3> bases{"/dev/shm", std::getenv("TMPDIR"), "/tmp"};
    for (const char* base : bases) {
      if (base == nullptr) continue;
      std::string name = cat(std::string(base), "/v2v-fuzz-XXXXXX");
      if (mkdtemp(name.data()) == nullptr) continue;
      path_ = name;
      return;
    }
    v2v_test::stop("no folder for temporary files", 0);
  }
  ~Folder() { clear(); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const fs::path& path() const { return path_; }
  void clear() const {
    std::error_code failed;
    fs::remove_all(path_, failed);
  }

 private:
  fs::path path_;
};

// Letters of paths that stay inside the folder.
bool is_plain(std::string_view path) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' || c == '/';
  };
  return !path.empty() && path.size() <= 200 && path.front() != '/' && path.find("..") == std::string_view::npos &&
         std::all_of(path.begin(), path.end(), good);
}

std::vector<File> split(std::string_view text) {
  std::vector<File> files;
  while (text.starts_with(kMark) && files.size() < 64) {
    const std::size_t line = std::min(text.find('\n'), text.size());
    const std::string path(text.substr(kMark.size(), line - std::min(line, kMark.size())));
    text.remove_prefix(std::min(line + 1, text.size()));
    const std::size_t end = std::min(text.find(cat("\n", kMark)), text.size());
    files.push_back({path, std::string(text.substr(0, end))});
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return files;
}

void set(Value& record, const std::string& key, Value value) {
  if (record.object() == nullptr) return;
  for (auto& [name, present] : *record.object()) {
    if (name != key) continue;
    present = std::move(value);
    return;
  }
  record.object()->emplace_back(key, std::move(value));
}

// The files below `folder` that `wanted` takes, as a manifest lists them, relative to it.
template <class Wanted>
Array listed(const std::vector<File>& files, const std::string& folder, const Wanted& wanted) {
  Array entries;
  for (const File& file : files) {
    if (!file.path.starts_with(folder) || !is_plain(file.path) || file.path.ends_with('/')) continue;
    const std::string name = file.path.substr(folder.size());
    if (!wanted(name)) continue;
    entries.emplace_back(Object{{"path", name},
                                {"size", static_cast<std::int64_t>(file.content.size())},
                                {"sha256", v2v_core::sha256_hex(file.content)}});
  }
  const auto path = [](const Value& entry) { return *entry.find("path")->string(); };
  std::sort(entries.begin(), entries.end(), [&](const Value& a, const Value& b) { return path(a) < path(b); });
  return entries;
}

// What a writer would have written, or the text as it is where it is no JSON.
std::string put_right(const std::string& text, Array files, const std::string& identity_key, std::string& identity,
                      unsigned flags) {
  try {
    Value document = v2v_core::json::parse(text);
    if ((flags & kWrongFiles) == 0) set(document, "files", std::move(files));
    if (identity_key == "identity") {
      set(document, identity_key, std::string(64, '0'));
      identity = v2v_core::identity(v2v_core::read_manifest(document));
    }
    if ((flags & kWrongIdentity) == 0) set(document, identity_key, identity);
    return v2v_core::json::canonical(document);
  } catch (const v2v_core::Error&) {
    return text;
  }
}

std::string seal(const std::string& text, std::string_view name) {
  return cat(v2v_core::sha256_hex(text), "  ", name, "\n");
}

void complete(std::vector<File>& files, unsigned flags) {
  std::string identity(64, '0');
  std::vector<File> seals;
  const auto end_with_seal = [&](File& file, std::string_view name) {
    const std::string path = file.path.substr(0, file.path.size() - std::string_view("json").size()) + "sha256";
    if ((flags & kWrongSeal) == 0) seals.push_back({path, seal(file.content, name)});
  };
  for (File& file : files) {
    if (file.path != "bundle.json") continue;
    const auto wanted = [](const std::string& name) {
      return name.starts_with("graphs/") || name.starts_with("blobs/");
    };
    file.content = put_right(file.content, listed(files, "", wanted), "identity", identity, flags);
    end_with_seal(file, "bundle.json");
  }
  for (File& file : files) {
    const std::size_t name = file.path.rfind("/target.json");
    if (!file.path.starts_with("targets/") || name == std::string::npos) continue;
    const auto wanted = [](const std::string& each) { return each != "target.json" && each != "target.sha256"; };
    file.content =
        put_right(file.content, listed(files, file.path.substr(0, name + 1), wanted), "bundle", identity, flags);
    end_with_seal(file, "target.json");
  }
  files.insert(files.end(), seals.begin(), seals.end());
}

// Files and folders first: nothing is written through a link.
void lay_out(const fs::path& root, const std::vector<File>& files) {
  std::error_code failed;
  fs::create_directory(root, failed);
  for (const File& file : files) {
    if (!is_plain(file.path)) continue;
    const fs::path path = root / file.path;
    fs::create_directories(file.path.ends_with('/') ? path : path.parent_path(), failed);
    if (!file.path.ends_with('/')) std::ofstream(path, std::ios::binary) << file.content;
  }
  for (const File& file : files) {
    const auto parts = [&](std::string_view between) {
      const std::size_t at = file.path.find(between);
      const bool found = at != std::string::npos && is_plain(std::string_view(file.path).substr(0, at));
      return found ? std::pair(file.path.substr(0, at), file.path.substr(at + between.size()))
                   : std::pair(std::string(), std::string());
    };
    if (const auto& [link, target] = parts(" -> "); !link.empty()) fs::create_symlink(target, root / link, failed);
    if (const auto& [link, other] = parts(" = "); !link.empty() && is_plain(other)) {
      fs::create_hard_link(root / other, root / link, failed);
    }
  }
}

// Everything that a session reads of a bundle.
void read(const std::string& root, bool full) {
  using v2v_test::attempt;
  std::shared_ptr<v2v_core::Bundle> bundle;
  if (!attempt([&] { bundle = v2v_core::Bundle::open(root, full); })) return;
  ++opened;
  std::vector<std::string> names;
  attempt([&] { names = bundle->targets(); });
  attempt([&] { bundle->target(std::nullopt); });
  for (const std::string& name : names) {
    attempt([&] {
      const v2v_core::Target target = bundle->target(name);
      for (const auto& engine : target.engines) attempt([&] { bundle->target_file(target, engine.second); });
    });
  }
  for (const auto& variant : bundle->manifest().variants) {
    for (const auto& graph : variant.second.graphs) {
      attempt([&] { bundle->graph_path(variant.first, graph.first); });
    }
  }
  for (const v2v_core::BlobUse& use : v2v_core::blob_uses(bundle->manifest())) {
    attempt([&] { bundle->blob(use.ref); });
  }
}

}  // namespace

extern "C" long v2v_fuzz_whole() { return opened; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  if (size == 0) return 0;
  const unsigned flags = data[0];
  std::vector<File> files = split({reinterpret_cast<const char*>(data) + 1, size - 1});
  v2v_test::attempt([&] { complete(files, flags); });
  lay_out(folder.path(), files);
  v2v_test::limited([&] { read(folder.path().string(), (flags & kTrustSizes) == 0); });
  folder.clear();
  return 0;
}
