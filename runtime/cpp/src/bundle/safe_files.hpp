// Files of a folder that is not trusted: opened beneath it, never through a link, sized before they are read. Each
// check is made on the open file, not on its name. Codes as in v2v_runtime/safe_files.py.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace v2v_core::files {

// What tells whether a file was exchanged or changed since.
struct Stamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t size = 0;
  std::int64_t changed_ns = 0;
  bool operator==(const Stamp&) const = default;
};

struct Entry {
  std::string name;
  bool folder;
};

// The whole file, at most `most` bytes. Throws Error: V2V-E1004, E1010, E1011, E1014, E1015, E1017.
std::string read(const std::string& root, const std::string& path, std::int64_t most);
// The whole file, if it has this size and hash (E1011, E1012): what is returned is what was hashed.
std::string read_checked(const std::string& root, const std::string& path, std::int64_t size, std::string_view sha256);
// That it has this size and, unless empty, this hash.
Stamp check(const std::string& root, const std::string& path, std::int64_t size, std::string_view sha256);
// The first `length` bytes, or all; `size` takes the file's size.
std::string read_start(const std::string& root, const std::string& path, std::int64_t length, std::int64_t& size);
// The names in a folder, sorted, whatever they name; nothing if there is no folder. Throws Error: V2V-E1004.
std::vector<std::string> names(const std::string& root, const std::string& folder);
// What stands in a folder, sorted; nothing if there is none, and nothing of what goes meanwhile. Throws Error:
// V2V-E1004, E1014, E1015.
std::vector<Entry> entries(const std::string& root, const std::string& folder);
// Every plain file below a folder, as paths relative to the root.
void each_file(const std::string& root, const std::string& folder,
               const std::function<void(const std::string&)>& visit);

}  // namespace v2v_core::files
