#include "user_files.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include <fcntl.h>
#include <pwd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.hpp"
#include "sha256.hpp"

namespace v2v_core {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): the one that the library sets is another
  return value == nullptr ? std::string() : std::string(value);
}

std::string home() {
  if (std::string named = environment("HOME"); !named.empty()) return named;
  std::array<char, 4096> room{};
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(getuid(), &entry, room.data(), room.size(), &found) != 0 || found == nullptr) return {};
  return entry.pw_dir;
}

// `own` names it; else `below` of the folder that `base` names; else `below` of `usual` in the user's home.
std::string folder(const char* own, const char* base, std::string_view usual, std::string_view below) {
  if (std::string named = environment(own); !named.empty()) return named;
  if (const std::string named = environment(base); !named.empty()) return cat(named, "/", below);
  const std::string at = home();
  return at.empty() ? std::string() : cat(at, "/", usual, "/", below);
}

std::string random_name() {
  std::array<unsigned char, 8> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return {};
  std::string name = ".tmp-";
  for (const unsigned byte : bytes) {
    name += kHex[byte >> 4U];
    name += kHex[byte & 15U];
  }
  return name;
}

bool write_all(int file, std::string_view data) {
  while (!data.empty()) {
    const ssize_t written = ::write(file, data.data(), data.size());
    if (written <= 0) return false;
    data.remove_prefix(static_cast<std::size_t>(written));
  }
  return fsync(file) == 0;
}

}  // namespace

bool built_here(const std::string& sha256) {
  const auto is_hex = [](char digit) { return kHex.find(digit) != std::string_view::npos; };
  if (sha256.size() != 64 || !std::all_of(sha256.begin(), sha256.end(), is_hex)) return false;
  const std::string records = folder("V2V_TRUST", "XDG_DATA_HOME", ".local/share", "v2v/engines-built-here");
  struct stat found{};
  return !records.empty() && stat(cat(records, "/", sha256).c_str(), &found) == 0 && S_ISREG(found.st_mode);
}

JitCache::JitCache(std::string_view key)
    : folder_(folder("V2V_JIT_CACHE", "XDG_CACHE_HOME", ".cache", "v2v/tensorrt")), name_(sha256_hex(key) + ".bin") {}

std::string JitCache::read() const {
  if (folder_.empty()) return {};
  std::ifstream file(cat(folder_, "/", name_), std::ios::binary);
  std::string data{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) data.clear();
  return data;
}

void JitCache::write(std::string_view kernels) const {
  if (folder_.empty()) return;
  std::error_code failed;
  const std::filesystem::path above = std::filesystem::path(folder_).parent_path();
  std::filesystem::create_directories(above, failed);
  if (failed || (mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST)) return;
  const std::string made = random_name();
  if (made.empty()) return;
  // Whole or absent: a name of its own first, then the one that is read.
  const std::string temporary = cat(folder_, "/", made);
  const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return;
  const bool whole = write_all(file, kernels);
  close(file);
  if (!whole || rename(temporary.c_str(), cat(folder_, "/", name_).c_str()) != 0) unlink(temporary.c_str());
}

}  // namespace v2v_core
