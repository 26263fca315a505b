// SPDX-License-Identifier: BSD-3-Clause
// Reads named sections of a shared library without loading it: no code of it runs. An ElfFile owns
// its file descriptor, so that all it says is about one file, whatever happens to the path, and
// load_path() is that file. Not thread-safe.
#pragma once

#include "host/support/files.h"

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace pergola::host {

// Which file it is, by any name, and which state of it.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  std::int64_t size = 0;
  std::int64_t modified_ns = 0;

  [[nodiscard]] bool same_file(const FileIdentity& other) const {
    return device == other.device && inode == other.inode;
  }
  [[nodiscard]] bool operator==(const FileIdentity&) const = default;
};

// The file that `path` leads to; empty when there is none.
[[nodiscard]] std::optional<FileIdentity> identify(const std::filesystem::path& path);

class ElfFile {
 public:
  // What is looked at: the file, whose owner may still write to it, or a copy in memory that nobody
  // can change.
  enum class Content { kFile, kSealedCopy };

  // Opens and checks: a regular, readable file of up to 4 GiB, a 64-bit little-endian ELF shared
  // library for this machine, whose sections and segments lie inside the file. Throws
  // Error{kPlugin} otherwise.
  explicit ElfFile(const std::filesystem::path& path, Content content = Content::kFile);

  // The bytes of a section, or nothing when there is no such section. Throws Error{kPlugin} when it
  // is larger than `limit` or cannot be read.
  [[nodiscard]] std::optional<std::string> section(std::string_view name, std::size_t limit) const;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  // Of the file at `path`, when it was opened.
  [[nodiscard]] const FileIdentity& identity() const noexcept { return identity_; }

  [[nodiscard]] int descriptor() const noexcept { return file_.get(); }
  // Where the file is now, without symbolic links; empty when it is nowhere any more.
  [[nodiscard]] std::filesystem::path real_path() const;
  // A name under which this process opens this very content as long as the ElfFile lives: with the
  // number of the process in it, so that a debugger finds it, too.
  [[nodiscard]] std::string load_path() const;
  // Throws Error{kPlugin} when it cannot be read.
  [[nodiscard]] std::string sha256() const;

 private:
  struct Range {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };
  void check_header() const;
  void read_tables();

  std::filesystem::path path_;
  UniqueFd file_;
  UniqueFd original_;  // of a copy: while it is open, no other file gets its inode
  FileIdentity identity_;
  std::int64_t size_ = 0;  // of the content
  std::map<std::string, Range, std::less<>> sections_;
};

}  // namespace pergola::host
