// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/hash.h"

#include "host/support/files.h"

#include <openssl/evp.h>
#include <unistd.h>
#include <xxhash.h>

#include <array>
#include <cerrno>
#include <new>
#include <vector>

namespace pergola::host {
namespace {

std::string to_hex(const unsigned char* bytes, std::size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * size);
  for (std::size_t i = 0; i < size; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    PERGOLA_ASSERT(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void update(const void* data, std::size_t size) {
    PERGOLA_ASSERT(EVP_DigestUpdate(context_.get(), data, size) == 1);
  }
  [[nodiscard]] std::string digest() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
    unsigned int size = 0;
    PERGOLA_ASSERT(EVP_DigestFinal_ex(context_.get(), bytes.data(), &size) == 1);
    return to_hex(bytes.data(), size);
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

template <class Hash>
std::string hash_open_file(int fd, const std::filesystem::path& path, ErrorKind kind) {
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  std::vector<char> buffer(kPiece);
  Hash hash;
  for (off_t offset = 0;;) {
    const ssize_t count = ::pread(fd, buffer.data(), buffer.size(), offset);
    if (count == 0) return hash.digest();
    if (count > 0) {
      hash.update(buffer.data(), static_cast<std::size_t>(count));
      offset += count;
    } else if (errno != EINTR) {
      throw file_error(kind, "read", path, errno);
    }
  }
}

template <class Hash>
std::string hash_file(const std::filesystem::path& path, ErrorKind kind) {
  const UniqueFd fd = open_file(path, kind);
  return hash_open_file<Hash>(fd.get(), path, kind);
}

XXH3_state_t* as_state(void* state) { return static_cast<XXH3_state_t*>(state); }

}  // namespace

std::string sha256(std::string_view content) {
  Sha256 hash;
  hash.update(content.data(), content.size());
  return hash.digest();
}

std::string sha256_file(const std::filesystem::path& path, ErrorKind kind) {
  return hash_file<Sha256>(path, kind);
}

std::string sha256_open_file(int fd, const std::filesystem::path& path, ErrorKind kind) {
  return hash_open_file<Sha256>(fd, path, kind);
}

std::string xxh3_file(const std::filesystem::path& path, ErrorKind kind) {
  return hash_file<Xxh3>(path, kind);
}

void Xxh3::Free::operator()(void* state) const noexcept { XXH3_freeState(as_state(state)); }

Xxh3::Xxh3() : state_(XXH3_createState()) {
  if (!state_) throw std::bad_alloc();
  XXH3_128bits_reset(as_state(state_.get()));
}

void Xxh3::update(const void* data, std::size_t size) {
  XXH3_128bits_update(as_state(state_.get()), data, size);
}

std::string Xxh3::digest() const {
  XXH128_canonical_t bytes;
  XXH128_canonicalFromHash(&bytes, XXH3_128bits_digest(as_state(state_.get())));
  return to_hex(bytes.digest, sizeof(bytes.digest));
}

}  // namespace pergola::host
