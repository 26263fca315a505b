// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/files.h"

#include "host/support/file_ops.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTemporary = ".tmp-";

const char* next_step(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "free some space there, or choose another folder";
    case EFBIG:
      return "raise the limit of a file's size (ulimit -f)";
    case EACCES:
    case EPERM:
      return "check its permissions and those of its folder";
    case EROFS:
      return "choose a folder that is not mounted read-only";
    case ENOENT:
      return "check the path";
    case ENOTDIR:
    case EEXIST:
      return "a part of the path is a file where a folder is expected";
    case EISDIR:
      return "name a file in it";
    case EMFILE:
    case ENFILE:
      return "raise the limit of open files (ulimit -n)";
    case EIO:
      return "check the disk";
    default:
      return "check the path and the disk";
  }
}

Error too_large(ErrorKind kind, const fs::path& path, std::uintmax_t size, std::uintmax_t limit) {
  return Error(kind, "cannot read ", path.string(), ": it has ", size, " bytes, more than the ",
               limit, " allowed; name the right file, or make it smaller");
}

// Removes a file that was not finished.
class FileRemover {
 public:
  explicit FileRemover(fs::path path) : path_(std::move(path)) {}
  FileRemover(const FileRemover&) = delete;
  FileRemover& operator=(const FileRemover&) = delete;
  ~FileRemover() {
    if (!path_.empty()) static_cast<void>(remove_file(path_));
  }
  void keep() noexcept { path_.clear(); }

 private:
  fs::path path_;
};

}  // namespace

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

int UniqueFd::release() noexcept { return std::exchange(fd_, -1); }

void UniqueFd::reset() noexcept {
  if (fd_ >= 0) file_ops().close(std::exchange(fd_, -1));
}

std::string describe_errno(int error) { return std::generic_category().message(error); }

Error file_error(ErrorKind kind, std::string_view action, const fs::path& path, int error) {
  return Error(kind, "cannot ", action, " ", path.string(), ": ", describe_errno(error), "; ",
               next_step(error));
}

UniqueFd open_file(const fs::path& path, ErrorKind kind) {
  // Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
  UniqueFd fd(open_path(path, O_RDONLY | O_NONBLOCK));
  if (!fd) throw file_error(kind, "read", path, errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) throw file_error(kind, "read", path, errno);
  if (S_ISDIR(info.st_mode)) {
    throw Error(kind, "cannot read ", path.string(), ": it is a folder; name a file in it");
  }
  if (!S_ISREG(info.st_mode)) {
    throw Error(kind, "cannot read ", path.string(),
                ": it is a pipe or a device, expected a regular file; save it to a file first");
  }
  return fd;
}

std::string read_file(const fs::path& path, ErrorKind kind, std::uintmax_t limit) {
  const UniqueFd fd = open_file(path, kind);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) throw file_error(kind, "read", path, errno);
  const auto expected = static_cast<std::uintmax_t>(info.st_size);
  if (expected > limit) throw too_large(kind, path, expected, limit);
  std::string content;
  std::size_t size = 0;
  // The size is a first guess only: files of /proc say 0, and others may be growing.
  content.resize(static_cast<std::size_t>(expected) + 1);
  while (true) {
    const ssize_t count = ::read(fd.get(), content.data() + size, content.size() - size);
    if (count == 0) break;
    if (count < 0) {
      if (errno == EINTR) continue;
      throw file_error(kind, "read", path, errno);
    }
    size += static_cast<std::size_t>(count);
    if (size > limit) throw too_large(kind, path, size, limit);
    if (size == content.size()) content.resize(2 * size);
  }
  content.resize(size);
  return content;
}

UniqueFd create_file(const fs::path& path, ErrorKind kind) {
  UniqueFd fd(open_path(path, O_WRONLY | O_CREAT | O_TRUNC));
  if (!fd) throw file_error(kind, "write", path, errno);
  return fd;
}

void write_all(int fd, std::string_view content, const fs::path& path, ErrorKind kind) {
  while (!content.empty()) {
    const ssize_t count = file_ops().write(fd, content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    // A disk that takes nothing and says nothing would keep us here for ever.
    if (count <= 0) throw file_error(kind, "write", path, count < 0 ? errno : EIO);
    content.remove_prefix(static_cast<std::size_t>(count));
  }
}

fs::path temporary_path(const fs::path& path) {
  return path.parent_path() / concat(path.filename().string(), kTemporary, ::getpid());
}

bool is_other_live_process(pid_t process) noexcept {
  return process != ::getpid() && (::kill(process, 0) == 0 || errno == EPERM);
}

void remove_leftovers(const fs::path& folder) noexcept {
  std::error_code error;
  fs::directory_iterator it(folder, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    const std::string name = it->path().filename().string();
    const std::size_t mark = name.rfind(kTemporary);
    if (mark == std::string::npos || !it->is_regular_file(error)) continue;
    pid_t writer = 0;
    const char* const end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + mark + kTemporary.size(), end, writer);
    if (parsed.ec != std::errc() || parsed.ptr != end || writer <= 0) continue;
    if (!is_other_live_process(writer)) static_cast<void>(remove_file(it->path()));
  }
}

void write_file_atomic(const fs::path& path, std::string_view content, ErrorKind kind) {
  const fs::path temporary = temporary_path(path);
  FileRemover remover(temporary);
  // The user knows the file by its own name, so that is what the messages say.
  const UniqueFd fd(open_path(temporary, O_WRONLY | O_CREAT | O_TRUNC));
  if (!fd) throw file_error(kind, "write", path, errno);
  write_all(fd.get(), content, path, kind);
  sync_fd(fd.get(), path, kind);
  if (const auto error = rename_path(temporary, path)) {
    throw file_error(kind, "write", path, error.value());
  }
  remover.keep();
  sync_directory(parent_of(path), kind);
}

void copy_synced(const fs::path& from, const fs::path& to, ErrorKind kind) {
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  const UniqueFd source = open_file(from, kind);
  const UniqueFd target = create_file(to, kind);
  std::string piece(kPiece, '\0');
  while (true) {
    const ssize_t count = ::read(source.get(), piece.data(), piece.size());
    if (count == 0) break;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw file_error(kind, "read", from, errno);
    write_all(target.get(), {piece.data(), static_cast<std::size_t>(count)}, to, kind);
  }
  sync_fd(target.get(), to, kind);
}

fs::path parent_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

void sync_fd(int fd, const fs::path& path, ErrorKind kind) {
  if (const auto error = sync_content(fd)) {
    throw file_error(kind, "bring to the disk", path, error.value());
  }
}

void sync_directory(const fs::path& path, ErrorKind kind) {
  const UniqueFd fd(open_path(path, O_RDONLY | O_DIRECTORY));
  if (!fd) throw file_error(kind, "bring to the disk", path, errno);
  // Some network file systems cannot sync a folder and say so with EINVAL; renames last there
  // anyway.
  const auto error = sync_content(fd.get());
  if (error && error != std::errc::invalid_argument) {
    throw file_error(kind, "bring to the disk", path, error.value());
  }
}

void sync_name(const fs::path& path, ErrorKind kind) {
  const fs::path parent = parent_of(path);
  // A folder that may be written but not read cannot be opened for that.
  if (::faccessat(AT_FDCWD, parent.c_str(), R_OK, AT_EACCESS) == 0) sync_directory(parent, kind);
}

void make_directories(const fs::path& path, ErrorKind kind) {
  std::error_code error;
  if (fs::is_directory(path, error)) return;
  const fs::path parent = parent_of(path);
  if (path.has_parent_path() && !fs::exists(parent, error)) make_directories(parent, kind);
  error = make_folder(path);
  // Another process may have made it meanwhile; and "a/b/" is "a/b", which was made just now.
  std::error_code ignored;
  if (error == std::errc::file_exists && fs::is_directory(path, ignored)) return;
  if (error) throw file_error(kind, "make the folder", path, error.value());
  try {
    sync_name(path, kind);
  } catch (const Error&) {
    static_cast<void>(remove_folder(path));  // the next call would take it for one that lasts
    throw;
  }
}

std::uintmax_t free_space(const fs::path& path, ErrorKind kind) {
  std::error_code error;
  fs::path existing = fs::absolute(path, error);
  while (!fs::exists(existing, error) && existing.has_relative_path()) {
    existing = existing.parent_path();
  }
  struct statvfs info {};
  while (file_ops().statvfs(existing.c_str(), &info) != 0) {
    if (errno != EINTR) throw file_error(kind, "find the free space of", existing, errno);
  }
  return std::uintmax_t{info.f_bavail} * info.f_frsize;
}

}  // namespace pergola::host
