// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/file_ops.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <new>
#include <vector>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

std::atomic<FileOps*>& current() noexcept {
  // Never destroyed: static objects may close their files after this one's turn.
  alignas(FileOps) static std::byte memory[sizeof(FileOps)];
  static std::atomic<FileOps*> pointer{::new (memory) FileOps};
  return pointer;
}

template <class Call>
std::error_code retrying(const Call& call) {
  while (call() != 0) {
    if (errno != EINTR) return {errno, std::generic_category()};
  }
  return {};
}

std::error_code unless_absent(std::error_code error) {
  return error == std::errc::no_such_file_or_directory ? std::error_code() : error;
}

}  // namespace

int FileOps::open(const char* path, int flags, mode_t mode) { return ::open(path, flags, mode); }

ssize_t FileOps::write(int fd, const void* bytes, std::size_t size) {
  return ::write(fd, bytes, size);
}

int FileOps::ftruncate(int fd, off_t size) { return ::ftruncate(fd, size); }

int FileOps::fsync(int fd) { return ::fsync(fd); }

int FileOps::close(int fd) { return ::close(fd); }

int FileOps::rename(const char* from, const char* to) { return ::rename(from, to); }

int FileOps::exchange(const char* a, const char* b) {
  return ::renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

int FileOps::link(const char* from, const char* to) { return ::link(from, to); }

int FileOps::mkdir(const char* path, mode_t mode) { return ::mkdir(path, mode); }

int FileOps::unlink(const char* path) { return ::unlink(path); }

int FileOps::rmdir(const char* path) { return ::rmdir(path); }

int FileOps::statvfs(const char* path, struct statvfs* info) { return ::statvfs(path, info); }

FileOps& file_ops() noexcept { return *current().load(std::memory_order_acquire); }

ScopedFileOps::ScopedFileOps(FileOps& replacement) noexcept
    : previous_(current().exchange(&replacement)) {}

ScopedFileOps::~ScopedFileOps() { current().store(previous_); }

int open_path(const fs::path& path, int flags) {
  constexpr mode_t kAsTheUmaskSays = 0666;
  int fd = -1;
  do {
    fd = file_ops().open(path.c_str(), flags | O_CLOEXEC, kAsTheUmaskSays);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

std::error_code sync_content(int fd) {
  return retrying([&] { return file_ops().fsync(fd); });
}

std::error_code truncate_file(int fd, off_t size) {
  return retrying([&] { return file_ops().ftruncate(fd, size); });
}

std::error_code rename_path(const fs::path& from, const fs::path& to) {
  return retrying([&] { return file_ops().rename(from.c_str(), to.c_str()); });
}

std::error_code exchange_paths(const fs::path& a, const fs::path& b) {
  return retrying([&] { return file_ops().exchange(a.c_str(), b.c_str()); });
}

std::error_code link_file(const fs::path& from, const fs::path& to) {
  return retrying([&] { return file_ops().link(from.c_str(), to.c_str()); });
}

std::error_code make_folder(const fs::path& path) {
  return retrying([&] { return file_ops().mkdir(path.c_str(), 0777); });
}

std::error_code remove_file(const fs::path& path) {
  return unless_absent(retrying([&] { return file_ops().unlink(path.c_str()); }));
}

std::error_code remove_folder(const fs::path& path) {
  return unless_absent(retrying([&] { return file_ops().rmdir(path.c_str()); }));
}

std::error_code remove_tree(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  if (status.type() == fs::file_type::not_found) return {};
  if (error) return error;
  if (!fs::is_directory(status)) return remove_file(path);
  // Listed first: what a listing does when entries vanish under it is the file system's choice.
  std::vector<fs::path> entries;
  fs::directory_iterator it(path, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    entries.push_back(it->path());
  }
  if (error) return unless_absent(error);
  for (const fs::path& entry : entries) {
    error = remove_tree(entry);
    if (error) return error;
  }
  return remove_folder(path);
}

}  // namespace pergola::host
