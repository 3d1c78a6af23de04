#include "bundle/safe_files.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.hpp"
#include "sha256.hpp"

namespace v2v_core::files {
namespace {

constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
constexpr std::size_t kLongestPath = 200;

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  int get() const { return number_; }

 private:
  int number_;
};

bool is_link_inside(const std::string& root, const std::string& path) {
  for (std::size_t end = path.find('/');; end = path.find('/', end + 1)) {
    struct stat found{};
    const std::string part = root + "/" + path.substr(0, end);
    if (lstat(part.c_str(), &found) == 0 && S_ISLNK(found.st_mode)) return true;
    if (end == std::string::npos) return false;
  }
}

Error named(int number, const std::string& root, const std::string& path) {
  if ((number == ENOENT || number == ENOTDIR) && !is_link_inside(root, path)) {
    return {1010, cat(path, " does not exist in ", root), "", "copy or unpack the bundle again"};
  }
  if (number == ELOOP || number == ENOTDIR || number == EMLINK) {
    return {1014, path + " goes through a symbolic link", "plain files and folders", "copy the bundle again"};
  }
  if (number == ENXIO || number == ENODEV || number == EISDIR) {
    return {1015, path + " is not a plain file", "plain files and folders"};
  }
  return {1004, cat(root, "/", path, ": ", std::generic_category().message(number)), "",
          number == EACCES || number == EPERM ? "check its permissions" : ""};
}

void check_plain(const struct stat& found, const std::string& path) {
  if (S_ISLNK(found.st_mode)) {
    throw Error{1014, path + " is a symbolic link", "plain files", "unpack or copy the bundle again"};
  }
  if (!S_ISREG(found.st_mode)) throw Error{1015, path + " is not a plain file", "plain files and folders"};
  if (found.st_nlink > 1) {
    throw Error{1014, cat(path, " is a hard link: ", found.st_nlink, " names share its content"),
                "files with one name, so that nobody changes them from outside",
                "copy the bundle with cp -r --reflink=auto, which makes files of its own"};
  }
}

struct Opened {
  Descriptor file;
  Stamp stamp;
};

Opened open_below(const std::string& root, const std::string& path) {
  Descriptor at(open(root.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY));
  for (std::size_t from = 0;;) {
    if (at.get() < 0) throw named(errno, root, path);
    const std::size_t slash = path.find('/', from);
    const std::string part = path.substr(from, slash == std::string::npos ? slash : slash - from);
    if (part.empty() || part == "." || part == ".." || part.find('\0') != std::string::npos) {
      throw Error{1017, quote(path) + " is not a path inside a bundle"};
    }
    const bool last = slash == std::string::npos;
    Descriptor next(openat(at.get(), part.c_str(), last ? kFlags : kFlags | O_DIRECTORY));
    if (next.get() < 0) throw named(errno, root, path);
    at = std::move(next);
    if (last) break;
    from = slash + 1;
  }
  struct stat found{};
  if (fstat(at.get(), &found) != 0) throw named(errno, root, path);
  check_plain(found, path);
  const std::int64_t changed = std::int64_t{found.st_ctim.tv_sec} * 1'000'000'000 + found.st_ctim.tv_nsec;
  return {std::move(at), {found.st_dev, found.st_ino, found.st_size, changed}};
}

// Gives exactly `size` bytes in pieces.
template <class Take>
void pieces(const Opened& opened, std::int64_t size, const std::string& path, const Take& take) {
  const auto buffer = std::make_unique<std::array<char, 1U << 16U>>();
  for (std::int64_t left = size; left > 0;) {
    const auto most = std::min<std::int64_t>(left, static_cast<std::int64_t>(buffer->size()));
    const ssize_t got = ::read(opened.file.get(), buffer->data(), static_cast<std::size_t>(most));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error{1004, cat(path, ": ", std::generic_category().message(errno))};
    if (got == 0) throw Error{1011, path + " became shorter while it was read", cat(size, " bytes")};
    take(buffer->data(), static_cast<std::size_t>(got));
    left -= got;
  }
}

void check_end(const Opened& opened, std::int64_t size, const std::string& path) {
  char one = 0;
  if (::read(opened.file.get(), &one, 1) == 1) {
    throw Error{1011, path + " became longer while it was read", cat(size, " bytes")};
  }
}

void check_size(const std::string& path, std::int64_t seen, std::int64_t expected) {
  if (seen == expected) return;
  throw Error{1011, cat(path, seen < expected ? " is truncated: " : " is too long: ", seen, " bytes"),
              cat(expected, " bytes"), "copy or unpack the bundle again, or build it again"};
}

void check_hash(const std::string& path, const std::string& seen, std::string_view expected) {
  if (seen == expected) return;
  throw Error{1012, cat(path, " was changed: sha256 ", seen), std::string(expected),
              "copy or unpack the bundle again, or build it again"};
}

std::string take_all(const Opened& opened, std::int64_t size, const std::string& path) {
  std::string data;
  data.reserve(static_cast<std::size_t>(size));
  pieces(opened, size, path, [&](const char* bytes, std::size_t count) { data.append(bytes, count); });
  return data;
}

using Listing = std::unique_ptr<DIR, int (*)(DIR*)>;

// Null where there is no such folder.
Listing open_folder(const std::string& root, const std::string& folder) {
  const std::string path = folder.empty() ? root : root + "/" + folder;
  Listing listing(opendir(path.c_str()), closedir);
  if (!listing && errno != ENOENT) throw named(errno, root, folder);
  return listing;
}

std::vector<std::string> listed(DIR* listing, const std::string& root, const std::string& folder) {
  std::vector<std::string> found;
  while (listing != nullptr) {
    errno = 0;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread reads this listing
    const dirent* each = readdir(listing);
    if (each == nullptr) break;
    const std::string_view name = each->d_name;
    if (name != "." && name != "..") found.emplace_back(name);
  }
  // Null is the end or a failure; ENOENT says that the folder went meanwhile.
  if (listing != nullptr && errno != 0 && errno != ENOENT) throw named(errno, root, folder);
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

std::string read(const std::string& root, const std::string& path, std::int64_t most) {
  const Opened opened = open_below(root, path);
  const std::int64_t size = opened.stamp.size;
  if (size > most) throw Error{1011, cat(path, " has ", size, " bytes"), cat("at most ", most)};
  std::string data = take_all(opened, size, path);
  check_end(opened, size, path);
  return data;
}

std::string read_checked(const std::string& root, const std::string& path, std::int64_t size, std::string_view sha256) {
  const Opened opened = open_below(root, path);
  check_size(path, opened.stamp.size, size);
  std::string data = take_all(opened, size, path);
  check_end(opened, size, path);
  check_hash(path, sha256_hex(data), sha256);
  return data;
}

Stamp check(const std::string& root, const std::string& path, std::int64_t size, std::string_view sha256) {
  const Opened opened = open_below(root, path);
  check_size(path, opened.stamp.size, size);
  if (!sha256.empty()) {
    Sha256 digest;
    pieces(opened, size, path, [&](const char* bytes, std::size_t count) { digest.update(bytes, count); });
    check_end(opened, size, path);
    check_hash(path, digest.hex(), sha256);
  }
  return opened.stamp;
}

std::string read_start(const std::string& root, const std::string& path, std::int64_t length, std::int64_t& size) {
  const Opened opened = open_below(root, path);
  size = opened.stamp.size;
  return take_all(opened, std::min(length, size), path);
}

std::vector<std::string> names(const std::string& root, const std::string& folder) {
  return listed(open_folder(root, folder).get(), root, folder);
}

std::vector<Entry> entries(const std::string& root, const std::string& folder) {
  const Listing listing = open_folder(root, folder);
  if (!listing) return {};
  const int descriptor = dirfd(listing.get());
  if (descriptor < 0) throw named(errno, root, folder);
  std::vector<Entry> found;
  for (std::string& name : listed(listing.get(), root, folder)) {
    struct stat status{};
    if (fstatat(descriptor, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;  // it has gone since it was listed
      throw named(errno, root, folder);
    }
    const bool is_folder = S_ISDIR(status.st_mode);
    if (!is_folder) check_plain(status, folder.empty() ? name : cat(folder, "/", name));
    found.push_back({std::move(name), is_folder});
  }
  return found;
}

void each_file(const std::string& root, const std::string& folder,
               const std::function<void(const std::string&)>& visit) {
  if (folder.size() > kLongestPath + std::strlen("targets/")) {
    throw Error{1013, cat(folder.substr(0, 80), "... is deeper than any listed path")};
  }
  for (const Entry& entry : entries(root, folder)) {
    const std::string path = cat(folder, "/", entry.name);
    if (entry.folder) {
      each_file(root, path, visit);
    } else {
      visit(path);
    }
  }
}

}  // namespace v2v_core::files
