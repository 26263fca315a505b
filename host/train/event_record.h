// SPDX-License-Identifier: BSD-3-Clause
// Records of TensorFlow's TFRecord format, of which TensorBoard's event files consist: each a
// length, data, and a checksum behind each of the two. No LibTorch here.
//
//   uint64 length | uint32 masked CRC-32C of these 8 bytes | data | uint32 masked CRC-32C of data
#pragma once

#include "host/support/files.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace pergola::host {

// The CRC-32C (Castagnoli) of RFC 3720.
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes) noexcept;
// The same rotated, plus a constant: so that the checksum of data that holds its own is of use.
[[nodiscard]] std::uint32_t masked_crc32c(std::string_view bytes) noexcept;

// One record with `data` in it.
[[nodiscard]] std::string frame_record(std::string_view data);

// Reads the records of a file, as far as they are whole. Not thread-safe.
class RecordReader {
 public:
  // Throws Error{kCheckpoint} when the file cannot be opened.
  explicit RecordReader(std::filesystem::path path);

  // The data of the next record; nothing behind the last whole one. Throws Error{kCheckpoint} when
  // the file cannot be read.
  [[nodiscard]] std::optional<std::string> next();

  // Where the last record that was returned ends.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
  [[nodiscard]] std::uint64_t file_size() const noexcept { return size_; }
  // After the last one: is there something else than the begin of a record, of which a process that
  // was killed has not written the rest?
  [[nodiscard]] bool damaged() const noexcept { return damaged_; }

 private:
  [[nodiscard]] std::string read(std::uint64_t offset, std::uint64_t size) const;

  std::filesystem::path path_;
  UniqueFd file_;
  std::uint64_t size_ = 0;
  std::uint64_t offset_ = 0;
  bool damaged_ = false;
};

}  // namespace pergola::host
