// What the Python tests drive: each line of the standard input is one command, each answer one line of JSON.
#include <fstream>
#include <iostream>
#include <sstream>

#include "error.hpp"
#include "manifest/model.hpp"
#include "sha256.hpp"

namespace {

std::string read_file(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

v2v_core::json::Object judge(const std::string& kind, const std::string& path) {
  const std::string text = read_file(path);
  if (kind == "manifest") {
    const v2v_core::Manifest manifest = v2v_core::parse_manifest(text);
    return {{"identity", v2v_core::identity(manifest)},
            {"canonical", v2v_core::sha256_hex(v2v_core::json::canonical(v2v_core::to_json(manifest)))}};
  }
  const v2v_core::Target target = v2v_core::parse_target(text);
  return {{"canonical", v2v_core::sha256_hex(v2v_core::json::canonical(v2v_core::to_json(target)))}};
}

}  // namespace

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    const std::size_t space = line.find(' ');
    v2v_core::json::Object answer;
    try {
      answer = judge(line.substr(0, space), line.substr(space + 1));
    } catch (const v2v_core::Error& error) {
      answer = {{"code", v2v_core::cat("V2V-E", error.code)}, {"message", error.message()}};
    }
    std::cout << v2v_core::json::dump(answer) << '\n' << std::flush;
  }
}
