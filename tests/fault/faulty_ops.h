// SPDX-License-Identifier: BSD-3-Clause
// File operations of which the nth fails, once or with all that come after it.
// Not thread-safe: what is tested saves in the thread of the test.
#pragma once

#include "host/support/file_ops.h"

#include <algorithm>
#include <cerrno>

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
    if (is_half()) return system_.write(fd, bytes, std::max<std::size_t>(1, size / 2));
    return fails_now() ? -1 : system_.write(fd, bytes, size);
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

  // Counts a call that is no write.
  bool fails() {
    ++count_;
    return fault_ != Fault::kShortWrite && fails_now();
  }
  // Counts a write: does it take a half of its bytes?
  bool is_half() {
    ++count_;
    if (fault_ == Fault::kShortWrite) return count_ >= nth_ && count_ <= last_;
    if (fault_ != Fault::kNoSpace || count_ != nth_) return false;
    last_ = std::max(last_, nth_ + 1);  // so that the rest of the bytes is refused
    return true;
  }
  [[nodiscard]] bool fails_now() const {
    if (count_ < nth_ || count_ > last_ || fault_ == Fault::kShortWrite) return false;
    errno = fault_ == Fault::kNoSpace ? ENOSPC : fault_ == Fault::kBadDisk ? EIO : EINTR;
    return true;
  }

  FileOps& system_;
  Fault fault_;
  int last_;
  int nth_;
  int count_ = 0;
};

}  // namespace pergola::host::fault_test
