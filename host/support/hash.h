// SPDX-License-Identifier: BSD-3-Clause
// Hashes as lower-case hex: SHA-256 names plugins and data for people, XXH3 (128 bits, several
// GB/s) finds damage in checkpoint files. Not thread-safe within one object.
#pragma once

#include "pergola/error.h"

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace pergola::host {

[[nodiscard]] std::string sha256(std::string_view content);

// Of a file's content, read in pieces. Throws Error of that kind when it cannot be read.
[[nodiscard]] std::string sha256_file(const std::filesystem::path& path, ErrorKind kind);
// Of an open file, from its beginning; where it is read from next stays. `path` is for the message.
[[nodiscard]] std::string sha256_open_file(int fd, const std::filesystem::path& path,
                                           ErrorKind kind);
[[nodiscard]] std::string xxh3_file(const std::filesystem::path& path, ErrorKind kind);

// XXH3-128 of a stream: the digits that `xxhsum -H2` prints.
class Xxh3 {
 public:
  Xxh3();
  Xxh3(Xxh3&&) noexcept = default;
  Xxh3& operator=(Xxh3&&) noexcept = default;
  ~Xxh3() = default;

  void update(const void* data, std::size_t size);
  // Of all that came so far; more may follow.
  [[nodiscard]] std::string digest() const;

 private:
  struct Free {
    void operator()(void* state) const noexcept;
  };
  std::unique_ptr<void, Free> state_;
};

}  // namespace pergola::host
