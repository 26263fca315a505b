// SPDX-License-Identifier: BSD-3-Clause
// File operations of which the nth fails, once or with all that come after it. Thread-safe.
#pragma once

#include "host/support/file_ops.h"

#include <algorithm>
#include <cerrno>
#include <mutex>

namespace pergola::host::fault_test {

enum class Fault {
  kNoSpace,      // ENOSPC; a write takes a half of its bytes first, as on a disk that is now full
  kBadDisk,      // EIO
  kInterrupted,  // EINTR
  kShortWrite,   // a write takes half of its bytes; other calls are as ever
};
enum class Lasting { kOnce, kForGood };

class FaultyOps final : public FileOps {
 public:
  // Numbers begin at 1. `system` does what does not fail.
  FaultyOps(FileOps& system, Fault fault, Lasting lasting, int nth)
      : system_(system),
        fault_(fault),
        last_(lasting == Lasting::kForGood ? kAll : nth),
        nth_(nth) {
    // A signal may come again while the call is repeated.
    if (fault == Fault::kInterrupted) last_ = nth + 2;
  }

  // Was there an nth operation?
  [[nodiscard]] bool reached() const noexcept { return count_ >= nth_; }

  int open(const char* path, int flags, mode_t mode) override {
    return fails() ? -1 : system_.open(path, flags, mode);
  }
  ssize_t write(int fd, const void* bytes, std::size_t size) override {
    const End end = next(/*is_write=*/true);
    if (end == End::kFails) return -1;
    return system_.write(fd, bytes, end == End::kHalf ? std::max<std::size_t>(1, size / 2) : size);
  }
  int ftruncate(int fd, off_t size) override { return fails() ? -1 : system_.ftruncate(fd, size); }
  int fsync(int fd) override { return fails() ? -1 : system_.fsync(fd); }
  int close(int fd) override {
    const int result = system_.close(fd);  // whatever it returns, the descriptor is free
    return fails() ? -1 : result;
  }
  int rename(const char* from, const char* to) override {
    return fails() ? -1 : system_.rename(from, to);
  }
  int exchange(const char* a, const char* b) override {
    return fails() ? -1 : system_.exchange(a, b);
  }
  int link(const char* from, const char* to) override {
    return fails() ? -1 : system_.link(from, to);
  }
  int mkdir(const char* path, mode_t mode) override {
    return fails() ? -1 : system_.mkdir(path, mode);
  }
  int unlink(const char* path) override { return fails() ? -1 : system_.unlink(path); }
  int rmdir(const char* path) override { return fails() ? -1 : system_.rmdir(path); }
  int statvfs(const char* path, struct statvfs* info) override {
    return fails() ? -1 : system_.statvfs(path, info);
  }

 private:
  static constexpr int kAll = 1'000'000;

  enum class End { kDone, kHalf, kFails };

  bool fails() { return next(/*is_write=*/false) == End::kFails; }

  // Counts a call, and says how it ends.
  End next(bool is_write) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++count_;
    if (count_ < nth_ || count_ > last_) return End::kDone;
    if (fault_ == Fault::kShortWrite) return is_write ? End::kHalf : End::kDone;
    if (fault_ == Fault::kNoSpace && is_write && count_ == nth_) {
      last_ = std::max(last_, nth_ + 1);  // so that the rest of the bytes is refused
      return End::kHalf;
    }
    errno = fault_ == Fault::kNoSpace ? ENOSPC : fault_ == Fault::kBadDisk ? EIO : EINTR;
    return End::kFails;
  }

  std::mutex mutex_;
  FileOps& system_;
  Fault fault_;
  int last_;
  int nth_;
  int count_ = 0;
};

}  // namespace pergola::host::fault_test
