// SPDX-License-Identifier: BSD-3-Clause
// Size and hash of a checkpoint's files: computed while they are written, and again before they are
// trusted. Not thread-safe.
#pragma once

#include "host/support/files.h"
#include "host/support/hash.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace pergola::host {

struct FileDigest {
  std::uint64_t size = 0;
  std::string xxh3;  // XXH3-128, 32 lower-case hex digits

  bool operator==(const FileDigest&) const = default;
};

// Writes to an open file and remembers what went through. The disk begins with what is there while
// more is written, and the most of a large file does not stay in memory.
class DigestWriter {
 public:
  // `path` is for messages; `expected`, the bytes to come where that is known, lets the file system
  // find a place for all of them at once.  REQUIRES: fd stays open.
  DigestWriter(int fd, std::filesystem::path path, std::uint64_t expected = 0);
  // Throws Error{kCheckpoint} when the system refuses the bytes.
  void write(std::string_view bytes);
  [[nodiscard]] FileDigest digest() const;

 private:
  void start_writeback();

  int fd_;
  std::filesystem::path path_;
  std::uint64_t size_ = 0;
  std::uint64_t started_ = 0;  // bytes that the disk was told to begin with
  Xxh3 hash_;
};

// Makes a file in one step: another file at `path` is replaced by what `fill` wrote to the
// descriptor that it gets, which is on the disk when this returns, or not at all. Returns what
// `fill` does. Throws Error{kCheckpoint} when the system refuses, and what `fill` throws.
FileDigest write_whole(const std::filesystem::path& path,
                       const std::function<FileDigest(int fd)>& fill);

}  // namespace pergola::host
