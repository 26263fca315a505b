// SPDX-License-Identifier: BSD-3-Clause
// Files, written so that a crash or a full disk leaves the old content or the new one and nothing
// in between. Every failure is an Error of the caller's kind: the path, the system's reason, and
// what to do about it. What writes goes through file_ops(); a signal or a write of only a part
// is no failure. No state; thread-safe.
#pragma once

#include "pergola/error.h"

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace pergola::host {

// Owns a file descriptor; -1 when empty. Closing ignores errors: sync first where they matter.
class UniqueFd {
 public:
  explicit UniqueFd(int fd = -1) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }
  // Gives the descriptor up without closing it.
  [[nodiscard]] int release() noexcept;
  void reset() noexcept;

 private:
  int fd_;
};

// "No space left on device", for ENOSPC.
[[nodiscard]] std::string describe_errno(int error);

// An Error for what the system refused: "cannot <action> <path>: <reason>; <next step>", such as
// file_error(kind, "write", path, ENOSPC).
[[nodiscard]] Error file_error(ErrorKind kind, std::string_view action,
                               const std::filesystem::path& path, int error);

// Opens a regular file for reading. Throws for anything else: a folder, a pipe, a device.
[[nodiscard]] UniqueFd open_file(const std::filesystem::path& path, ErrorKind kind);

// What no file that is read whole may exceed, unless its reader knows better.
inline constexpr std::uintmax_t kMostFileBytes = 4'000'000'000;

// The whole content of a regular file. Throws for one of more than `limit` bytes, before memory is
// taken for them: such a file is the wrong one, or a hole that somebody made by mistake.
[[nodiscard]] std::string read_file(const std::filesystem::path& path, ErrorKind kind,
                                    std::uintmax_t limit = kMostFileBytes);

// Makes a new empty file, or empties the one that is there, for writing.
[[nodiscard]] UniqueFd create_file(const std::filesystem::path& path,
                                   ErrorKind kind = ErrorKind::kCheckpoint);

// Writes all of `content`; `path` is for the message.
void write_all(int fd, std::string_view content, const std::filesystem::path& path,
               ErrorKind kind = ErrorKind::kCheckpoint);

// Where what is to be at `path` is written first: "<path>.tmp-<process>".
[[nodiscard]] std::filesystem::path temporary_path(const std::filesystem::path& path);
// May `process`, whose id is in the name of something temporary, still be writing it? This process
// is no other one: what carries its id is of an earlier process of the same id.
[[nodiscard]] bool is_other_live_process(pid_t process) noexcept;
// Removes such files from `folder` that no process is writing.  REQUIRES: nor is this one. Failing
// is passed over.
void remove_leftovers(const std::filesystem::path& folder) noexcept;

// Replaces the file at `path` by `content`: readers see the old or the new content, whole, and
// after the return the new one is on the disk. On failure the old file is untouched.
void write_file_atomic(const std::filesystem::path& path, std::string_view content,
                       ErrorKind kind = ErrorKind::kCheckpoint);

// Copies a regular file; the copy's content is on the disk when this returns, its name is not yet.
// On failure a part of the copy may be left.
void copy_synced(const std::filesystem::path& from, const std::filesystem::path& to,
                 ErrorKind kind = ErrorKind::kCheckpoint);

// The folder that `path` is in: "." for a name alone.
[[nodiscard]] std::filesystem::path parent_of(const std::filesystem::path& path);

// Brings what was written to the disk: a file's content, a folder's list of names.
void sync_fd(int fd, const std::filesystem::path& path, ErrorKind kind = ErrorKind::kCheckpoint);
void sync_directory(const std::filesystem::path& path, ErrorKind kind = ErrorKind::kCheckpoint);
// The name of a new file or folder, which is lost in a power cut until the folder above it is
// synced; nothing when this user may not read that folder.
void sync_name(const std::filesystem::path& path, ErrorKind kind = ErrorKind::kCheckpoint);

// Makes a folder and those above it, durably; one that is there already is fine.
void make_directories(const std::filesystem::path& path, ErrorKind kind = ErrorKind::kCheckpoint);

// Bytes that this user may still write where `path` is or, when it does not exist yet, will be.
[[nodiscard]] std::uintmax_t free_space(const std::filesystem::path& path,
                                        ErrorKind kind = ErrorKind::kCheckpoint);

}  // namespace pergola::host
