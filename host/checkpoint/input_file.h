// SPDX-License-Identifier: BSD-3-Clause
// A file of weights that is being read. What it says is not trusted, and neither is that it stays
// as it is: reads copy, and never map, since a mapped file that somebody truncates is a SIGBUS
// where this is an Error. Thread-safe.
#pragma once

#include "host/support/files.h"

#include <cstdint>
#include <filesystem>

namespace pergola::host {

class InputFile {
 public:
  // Throws Error{kCheckpoint} for what is no regular file or cannot be opened.
  explicit InputFile(std::filesystem::path path);

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  // When it was opened.
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  // The bytes [offset, offset + size). Throws Error{kCheckpoint} when one of them is gone.
  void read(char* to, std::uint64_t size, std::uint64_t offset) const;
  // The same; returns the CRC-32 of what was read.
  [[nodiscard]] std::uint32_t read_with_crc(char* to, std::uint64_t size,
                                            std::uint64_t offset) const;

 private:
  void read_piece(char* to, std::uint64_t size, std::uint64_t offset) const;

  std::filesystem::path path_;
  UniqueFd fd_;
  std::uint64_t size_ = 0;
};

}  // namespace pergola::host
