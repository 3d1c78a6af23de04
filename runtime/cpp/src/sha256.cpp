#include "sha256.hpp"

#include <array>
#include <new>

#include <openssl/evp.h>

#include "error.hpp"

namespace v2v_core {
namespace {

EVP_MD_CTX* context_of(void* context) { return static_cast<EVP_MD_CTX*>(context); }

// OpenSSL's calls give 1, or refuse: as where its configuration takes the provider of SHA-256 away.
void check(int given) {
  if (given != 1) {
    throw Error{3105, "OpenSSL refuses SHA-256", "a libcrypto that has it",
                "look at the providers in OpenSSL's configuration (openssl list -digest-algorithms)"};
  }
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  if (context_ == nullptr) throw std::bad_alloc();
  try {
    check(EVP_DigestInit_ex(context_of(context_), EVP_sha256(), nullptr));
  } catch (...) {
    EVP_MD_CTX_free(context_of(context_));
    throw;
  }
}

Sha256::~Sha256() { EVP_MD_CTX_free(context_of(context_)); }

void Sha256::update(const void* data, std::size_t size) { check(EVP_DigestUpdate(context_of(context_), data, size)); }

std::string Sha256::hex() {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  check(EVP_DigestFinal_ex(context_of(context_), digest.data(), &length));
  std::string text;
  for (unsigned i = 0; i < length; ++i) {
    text += kHex[digest[i] >> 4U];
    text += kHex[digest[i] & 15U];
  }
  return text;
}

std::string sha256_hex(std::string_view data) {
  Sha256 digest;
  digest.update(data.data(), data.size());
  return digest.hex();
}

}  // namespace v2v_core
