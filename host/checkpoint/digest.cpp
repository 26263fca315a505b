// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/digest.h"

#include "host/support/file_ops.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

namespace pergola::host {
namespace {

constexpr std::uint64_t kWriteback = std::uint64_t{16}
                                     << 20;                 // bytes that the disk is given at once
constexpr std::uint64_t kCached = std::uint64_t{64} << 20;  // the last bytes, which stay in memory

}  // namespace

// What is called here and in start_writeback() only hints: no result matters, what a hint costs is
// paid anyway, and none takes an error away from the fsync that follows.
DigestWriter::DigestWriter(int fd, std::filesystem::path path, std::uint64_t expected)
    : fd_(fd), path_(std::move(path)) {
  if (expected < kWriteback) return;
  static_cast<void>(::fallocate(fd_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(expected)));
}

void DigestWriter::write(std::string_view bytes) {
  // In pieces, so that the hash finds each one in the processor's cache.
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  while (!bytes.empty()) {
    const auto piece = bytes.substr(0, kPiece);
    hash_.update(piece.data(), piece.size());
    write_all(fd_, piece, path_);
    size_ += piece.size();
    if (size_ - started_ >= kWriteback) start_writeback();
    bytes.remove_prefix(piece.size());
  }
}

// Left alone, the system would write nothing before the fsync, and keep all of a file that nobody
// reads soon in place of what the training reads.
void DigestWriter::start_writeback() {
  static_cast<void>(::sync_file_range(fd_, static_cast<off_t>(started_),
                                      static_cast<off_t>(size_ - started_), SYNC_FILE_RANGE_WRITE));
  started_ = size_;
  if (size_ <= kCached) return;
  static_cast<void>(
      ::posix_fadvise(fd_, 0, static_cast<off_t>(size_ - kCached), POSIX_FADV_DONTNEED));
}

FileDigest DigestWriter::digest() const { return {size_, hash_.digest()}; }

FileDigest write_whole(const std::filesystem::path& path,
                       const std::function<FileDigest(int fd)>& fill) {
  const std::filesystem::path temporary = temporary_path(path);
  try {
    const UniqueFd fd = create_file(temporary);
    FileDigest digest = fill(fd.get());
    sync_fd(fd.get(), path);
    if (const auto error = rename_path(temporary, path)) {
      throw file_error(ErrorKind::kCheckpoint, "write", path, error.value());
    }
    sync_directory(parent_of(path));
    return digest;
  } catch (...) {
    static_cast<void>(remove_file(temporary));
    throw;
  }
}

}  // namespace pergola::host
