// SHA-256 over OpenSSL's libcrypto. Throws Error (V2V-E3105) where OpenSSL refuses it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace v2v_core {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(const void* data, std::size_t size);
  std::string hex();  // 64 lower-case digits; ends the digest

 private:
  void* context_;
};

std::string sha256_hex(std::string_view data);

}  // namespace v2v_core
