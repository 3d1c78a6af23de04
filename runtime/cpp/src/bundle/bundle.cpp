#include "bundle/bundle.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <system_error>

#include <sys/stat.h>

#include "error.hpp"
#include "sha256.hpp"

namespace v2v_core {
namespace {

constexpr std::int64_t kMaxManifest = std::int64_t{16} << 20;
constexpr std::string_view kTemporary = ".tmp-";  // what writers name files that are not whole yet

using Paths = std::set<std::string, std::less<>>;

[[noreturn]] void unreadable(const std::string& path, int number) {
  throw Error{1004, cat(path, ": ", std::generic_category().message(number)), "a bundle's folder",
              "check its name and the permissions of the folders above it"};
}

// Whether there is something at a path (V2V-E1004: the system does not tell).
bool exists(const std::string& path, struct stat& found) {
  if (stat(path.c_str(), &found) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return false;
  unreadable(path, errno);
}

std::string folder(const std::string& path) {
  if (path.empty()) throw Error{1001, "an empty path", "a bundle's folder", "name it; '.' is the current folder"};
  struct stat found{};
  if (!exists(path, found)) {
    throw Error{1001, path + " does not exist", "a bundle's folder",
                "name one that is there; `v2v-export build` writes it beside the recipe"};
  }
  if (S_ISREG(found.st_mode)) {
    char start[512] = {};
    std::FILE* file = std::fopen(path.c_str(), "rb");
    if (file == nullptr) unreadable(path, errno);
    const std::size_t got = std::fread(start, 1, sizeof start, file);
    const int failed = std::ferror(file) != 0 ? errno : 0;
    static_cast<void>(std::fclose(file));  // it was only read
    if (failed != 0) unreadable(path, failed);
    if (got > 262 && std::string_view(start + 257, 5) == "ustar") {
      throw Error{1003, path + " is a packed bundle", "a folder",
                  "unpack it first: python -m v2v_runtime.archive unpack"};
    }
    throw Error{1002, path + " is a file", "a bundle's folder", "name the one that `v2v-export build` writes"};
  }
  if (!exists(path + "/bundle.json", found)) {
    throw Error{1002, path + " holds no bundle.json", "a bundle's folder", "name the folder that does"};
  }
  char resolved[PATH_MAX] = {};
  if (realpath(path.c_str(), resolved) == nullptr) throw Error{1004, path + " cannot be resolved"};
  return resolved;
}

// The text of a manifest, if the seal beside it is right.
std::string read_sealed(const std::string& root, const std::string& path) {
  std::string text = files::read(root, path, kMaxManifest);
  const std::string seal = path.substr(0, path.size() - 5) + ".sha256";
  const std::string expected = cat(sha256_hex(text), "  ", path.substr(path.rfind('/') + 1), "\n");
  if (files::read(root, seal, 4096) != expected) {
    throw Error{1016, cat(path, " is not the file that ", seal, " was made for"),
                expected.substr(0, expected.size() - 1),
                "copy or unpack it again, or build it again; never edit it by hand"};
  }
  return text;
}

[[noreturn]] void unlisted(const std::string& path) {
  throw Error{1013, quote(path) + " is not listed", "the files that the bundle lists, and no other",
              "move it out of the bundle; caches belong in the user's cache folder"};
}

void check_root(const std::string& root) {
  for (const files::Entry& entry : files::entries(root, "")) {
    const bool known = entry.folder ? entry.name == "graphs" || entry.name == "blobs" || entry.name == "targets"
                                    : entry.name == "bundle.json" || entry.name == "bundle.sha256";
    if (!known) unlisted(entry.name);
  }
  for (const files::Entry& entry : files::entries(root, "targets")) {
    if (entry.name.starts_with(kTemporary)) continue;
    if (!entry.folder) unlisted("targets/" + entry.name);
    files::each_file(root, "targets/" + entry.name, [](const std::string&) {});
  }
}

void check_listed(const std::string& root, const std::string& below, const Paths& listed) {
  files::each_file(root, below, [&](const std::string& path) {
    if (!listed.contains(path)) unlisted(path);
  });
}

Map<TensorEntry> read_header(const std::string& root, const std::string& path) {
  std::int64_t size = 0;
  const std::string start = files::read_start(root, path, 8, size);
  std::uint64_t length = 0;
  for (std::size_t i = start.size() == 8 ? 8 : 0; i-- > 0;) {
    length = length << 8U | static_cast<unsigned char>(start[i]);
  }
  const auto most = static_cast<std::uint64_t>(kMaxTensorsHeader);
  const auto wanted = static_cast<std::int64_t>(8 + std::min(length, most));
  const std::string text = files::read_start(root, path, wanted, size);
  return parse_tensors(text, size, path);
}

[[noreturn]] void no_tensor(const BlobRef& ref) {
  throw Error{1034, cat(ref.file, " holds no tensor ", quote(ref.tensor))};
}

void check_blobs(const std::string& root, const Manifest& manifest) {
  Map<Map<TensorEntry>> headers;
  for (const BlobUse& use : blob_uses(manifest)) {
    auto header = headers.find(use.ref.file);
    if (header == headers.end()) header = headers.emplace(use.ref.file, read_header(root, use.ref.file)).first;
    const auto found = header->second.find(use.ref.tensor);
    if (found == header->second.end()) no_tensor(use.ref);
    const TensorEntry& entry = found->second;
    bool fits = entry.dtype == stored_dtype(use.dtype) && entry.shape.size() == use.shape.size();
    for (std::size_t i = 0; fits && i < use.shape.size(); ++i) {
      fits = use.shape[i] == -1 ? entry.shape[i] > 0 : use.shape[i] == entry.shape[i];
    }
    if (!fits) {
      std::string wanted = shape_text(use.shape);
      if (wanted.starts_with("[-1")) wanted.replace(1, 2, "at least 1");
      throw Error{1035,
                  cat(use.path, ": ", use.ref.file, " holds ", quote(use.ref.tensor), " as ", entry.dtype, " ",
                      shape_text(entry.shape)),
                  cat(stored_dtype(use.dtype), " ", wanted)};
    }
  }
}

void check_target(const Target& target, const Manifest& manifest, const std::string& name) {
  if (target.bundle != manifest.identity) {
    throw Error{1021, cat("target ", name, " was made for bundle ", target.bundle.substr(0, 16), "..."),
                manifest.identity.substr(0, 16) + "...", "build the target again for this bundle"};
  }
  if (name != target.label()) {
    throw Error{1022, cat("the folder ", quote(name), " holds the target ", target.label()),
                "a folder of the target's own name"};
  }
  if (!manifest.variants.contains(target.variant)) {
    throw Error{1022, cat("target ", name, " plays the variant ", quote(target.variant), ", which the bundle lacks")};
  }
  const auto check = [&](const std::string& graph) {
    if (!manifest.graphs.contains(graph)) {
      throw Error{1022, cat("target ", name, " names the graph ", quote(graph), ", which the bundle lacks")};
    }
  };
  for (const auto& [graph, file] : target.engines) check(graph);
  for (const auto& [graph, value] : *target.engine_key.object()) check(graph);
  for (const auto& [graph, value] : *target.counters.object()) check(graph);
}

}  // namespace

std::shared_ptr<Bundle> Bundle::open(const std::string& path, bool full) {
  const std::string root = folder(path);
  Manifest manifest = parse_manifest(read_sealed(root, "bundle.json"));
  check_root(root);
  Paths listed;
  for (const FileEntry& entry : manifest.files) listed.insert(entry.path);
  check_listed(root, "graphs", listed);
  check_listed(root, "blobs", listed);
  std::vector<files::Stamp> stamps;
  stamps.reserve(manifest.files.size());
  for (const FileEntry& entry : manifest.files) {
    stamps.push_back(files::check(root, entry.path, entry.size, full ? entry.sha256 : ""));
  }
  check_blobs(root, manifest);
  const std::shared_ptr<Bundle> bundle(new Bundle(root, std::move(manifest)));
  bundle->stamps_ = std::move(stamps);
  return bundle;
}

std::vector<std::string> Bundle::targets() const {
  std::vector<std::string> found = files::names(root_, "targets");
  std::erase_if(found, [](const std::string& name) { return name.starts_with(kTemporary); });
  return found;
}

Target Bundle::target(const std::optional<std::string>& name) const {
  const std::vector<std::string> present = targets();
  if (name && std::find(present.begin(), present.end(), *name) != present.end()) return read_target(*name);
  std::vector<std::string> fits;
  std::string listed;
  for (const std::string& each : present) {
    if (!name || each.substr(0, each.find('.')) == *name) fits.push_back(each);
    listed += (listed.empty() ? "" : ", ") + each;
  }
  if (fits.size() == 1) return read_target(fits.front());
  if (listed.empty()) listed = "none; run v2v-export build with --gpu";
  if (!name || !fits.empty()) {
    const std::string asked = name ? cat(quote(*name), " fits ", fits.size(), " targets") : "no target was named";
    throw Error{1020, cat(asked, "; present: ", listed), "one target", "name one of them"};
  }
  throw Error{1020, "there is no target " + quote(*name), "one of: " + listed,
              present.empty() ? "there is none to choose from" : "name one of them"};
}

Target Bundle::read_target(const std::string& name) const {
  const std::string below = "targets/" + name;
  Target target = parse_target(read_sealed(root_, below + "/target.json"));
  check_target(target, manifest_, name);
  Paths listed{below + "/target.json", below + "/target.sha256"};
  for (const FileEntry& entry : target.files) listed.insert(cat(below, "/", entry.path));
  check_listed(root_, below, listed);
  for (const FileEntry& entry : target.files) files::check(root_, cat(below, "/", entry.path), entry.size, "");
  return target;
}

std::string Bundle::target_file(const Target& target, const std::string& path) const {
  const auto entry =
      std::find_if(target.files.begin(), target.files.end(), [&](const FileEntry& each) { return each.path == path; });
  if (entry == target.files.end()) {
    throw Error{1022, cat(quote(path), " is not a file of target ", target.label())};
  }
  return files::read_checked(root_, cat("targets/", target.label(), "/", path), entry->size, entry->sha256);
}

std::vector<std::string> Bundle::listed_engines(const Target& target, const std::vector<std::string>& trust) const {
  const std::string document = read_sealed(root_, cat("targets/", target.label(), "/target.json"));
  if (std::find(trust.begin(), trust.end(), sha256_hex(document)) == trust.end()) return {};
  const Target listed = parse_target(document);
  Paths engines;
  for (const auto& [graph, path] : listed.engines) engines.insert(path);
  std::vector<std::string> hashes;
  for (const FileEntry& entry : listed.files) {
    if (engines.contains(entry.path)) hashes.push_back(entry.sha256);
  }
  return hashes;
}

std::string Bundle::graph_path(const std::string& variant, const std::string& graph) const {
  // A graph may read any listed file as external data, and its backend opens them by name.
  const std::lock_guard guard(lock_);
  for (std::size_t i = 0; i < stamps_.size(); ++i) {
    const FileEntry& entry = manifest_.files[i];
    if (files::check(root_, entry.path, entry.size, "") == stamps_[i]) continue;
    // Copied back or touched, maybe: what counts is its content.
    stamps_[i] = files::check(root_, entry.path, entry.size, entry.sha256);
  }
  return cat(root_, "/", manifest_.variants.find(variant)->second.graphs.find(graph)->second);
}

Blob Bundle::blob(const BlobRef& ref) const {
  const std::lock_guard guard(lock_);
  if (last_path_ != ref.file) {
    const auto entry = std::find_if(manifest_.files.begin(), manifest_.files.end(),
                                    [&](const FileEntry& each) { return each.path == ref.file; });
    auto data = std::make_shared<const std::string>(files::read_checked(root_, ref.file, entry->size, entry->sha256));
    Map<TensorEntry> entries = parse_tensors(*data, static_cast<std::int64_t>(data->size()), ref.file);
    check_values(*data, entries, ref.file);
    last_path_ = ref.file;  // takes memory: nothing has changed where there is none
    last_file_ = std::move(data);
    last_entries_ = std::move(entries);
  }
  const auto found = last_entries_.find(ref.tensor);
  if (found == last_entries_.end()) no_tensor(ref);
  return {last_file_, found->second};
}

}  // namespace v2v_core
