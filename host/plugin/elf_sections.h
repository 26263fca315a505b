// SPDX-License-Identifier: BSD-3-Clause
// Reads named sections of a shared library without loading it: no code of it runs. An ElfFile owns
// its file descriptor, so that all it says is about one file, whatever happens to the path.
// Not thread-safe.
#pragma once

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
  // Opens and checks: a regular, readable file, a 64-bit little-endian ELF shared library for this
  // machine, whose sections and segments lie inside the file. Throws Error{kPlugin} otherwise.
  explicit ElfFile(const std::filesystem::path& path);

  // The bytes of a section, or nothing when there is no such section. Throws Error{kPlugin} when it
  // is larger than `limit` or cannot be read.
  [[nodiscard]] std::optional<std::string> section(std::string_view name, std::size_t limit) const;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] const FileIdentity& identity() const noexcept { return identity_; }

 private:
  struct Range {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };
  // Closes the descriptor, also when the constructor does not get to its end.
  struct Descriptor {
    explicit Descriptor(int opened) noexcept : number(opened) {}
    ~Descriptor();
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    const int number;
  };

  void check_header() const;
  void read_tables();

  std::filesystem::path path_;
  Descriptor file_;
  FileIdentity identity_;
  std::map<std::string, Range, std::less<>> sections_;
};

}  // namespace pergola::host
