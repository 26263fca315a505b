// SPDX-License-Identifier: BSD-3-Clause
// The one seam between the host and the calls that change what is on a disk. All that writes a
// checkpoint or a file of a run comes through here, but for log.txt, of which nothing is promised:
// so tests can have the nth call fail, and know what a power cut would leave. Thread-safe; the
// implementation in use is process-wide.
#pragma once

#include <sys/statvfs.h>
#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <system_error>

namespace pergola::host {

// The calls themselves: arguments, results and errno are those of the C library's functions of the
// same names. This class calls the system; a test derives from it. A virtual call costs a
// nanosecond, and the cheapest of these a few hundred.  REQUIRES of what is derived: thread-safe.
class FileOps {
 public:
  FileOps() = default;
  FileOps(const FileOps&) = delete;
  FileOps& operator=(const FileOps&) = delete;
  virtual ~FileOps() = default;

  [[nodiscard]] virtual int open(const char* path, int flags, mode_t mode);
  [[nodiscard]] virtual ssize_t write(int fd, const void* bytes, std::size_t size);
  [[nodiscard]] virtual int ftruncate(int fd, off_t size);
  [[nodiscard]] virtual int fsync(int fd);
  // As Linux has it: the descriptor is free afterwards, whatever is returned.
  virtual int close(int fd);
  [[nodiscard]] virtual int rename(const char* from, const char* to);
  // renameat2 with RENAME_EXCHANGE: each takes the other's place, in one step.
  [[nodiscard]] virtual int exchange(const char* a, const char* b);
  [[nodiscard]] virtual int link(const char* from, const char* to);
  [[nodiscard]] virtual int mkdir(const char* path, mode_t mode);
  [[nodiscard]] virtual int unlink(const char* path);
  [[nodiscard]] virtual int rmdir(const char* path);
  [[nodiscard]] virtual int statvfs(const char* path, struct statvfs* info);
};

// The implementation in use: the system's, unless a test has put another one in its place.
[[nodiscard]] FileOps& file_ops() noexcept;

// Puts `replacement` in place of the implementation in use, for its own life. For tests.
// REQUIRES: no other thread is in a call of file_ops() when it comes or goes.
class ScopedFileOps {
 public:
  explicit ScopedFileOps(FileOps& replacement) noexcept;
  ScopedFileOps(const ScopedFileOps&) = delete;
  ScopedFileOps& operator=(const ScopedFileOps&) = delete;
  ~ScopedFileOps();

 private:
  FileOps* previous_;
};

// The same calls, made again when a signal interrupts them. The std::error_code is empty when they
// were done. A name is sure to be on the disk only once its folder is synced.

// O_CLOEXEC comes with it. -1 with errno when the system refuses.
[[nodiscard]] int open_path(const std::filesystem::path& path, int flags);
[[nodiscard]] std::error_code sync_content(int fd);
[[nodiscard]] std::error_code truncate_file(int fd, off_t size);
[[nodiscard]] std::error_code rename_path(const std::filesystem::path& from,
                                          const std::filesystem::path& to);
[[nodiscard]] std::error_code exchange_paths(const std::filesystem::path& a,
                                             const std::filesystem::path& b);
[[nodiscard]] std::error_code link_file(const std::filesystem::path& from,
                                        const std::filesystem::path& to);
[[nodiscard]] std::error_code make_folder(const std::filesystem::path& path);
// What is not there is removed already. A symbolic link is removed, not what it leads to.
[[nodiscard]] std::error_code remove_file(const std::filesystem::path& path);
[[nodiscard]] std::error_code remove_folder(const std::filesystem::path& path);  // an empty one
// A file, or a folder with all that is in it; ends at the first that cannot be removed.
[[nodiscard]] std::error_code remove_tree(const std::filesystem::path& path);

}  // namespace pergola::host
