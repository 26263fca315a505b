// SPDX-License-Identifier: BSD-3-Clause
// How it ended when plugins were tried, kept in a file of the user's cache folder. It is a
// convenience: a file that is damaged, or that others can write, is as good as none, and what
// cannot be read or written is told at the log level debug. Owns what it read. Not thread-safe.
#pragma once

#include "host/plugin/elf_sections.h"

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

struct ProbedFile {
  FileIdentity identity;
  std::string sha256;
  std::string path;     // under which it was tried
  std::string problem;  // "": it can be loaded
};

// <XDG_CACHE_HOME or ~/.cache>/pergola/plugin_probes.json; "" when neither is known, or when the
// program runs with more rights than its caller, who would choose the file.
[[nodiscard]] std::filesystem::path default_probe_cache();

// What a verdict holds for besides the plugin: the program and all libraries that are open in it,
// as a hash of which files they are and which state of them.
[[nodiscard]] std::string identity_of_host();

class ProbeCache {
 public:
  static constexpr std::size_t kMostFiles = 512;

  // Reads the file, of which it believes what is of this `host`; "" keeps nothing.
  explicit ProbeCache(std::filesystem::path file, std::string host = identity_of_host());

  // The last that was added of this state of a file, or of this content; null when there is none.
  // Valid until the next add().
  [[nodiscard]] const ProbedFile* find(const FileIdentity& identity) const;
  [[nodiscard]] const ProbedFile* find_content(std::string_view sha256) const;

  // In place of what was known of that file, or of that path.
  void add(ProbedFile file);

  // Writes the file if something was added, the last kMostFiles of all hosts. Others that write it
  // at the same time take away what was added, and never damage it.
  void save() noexcept;

 private:
  struct Entry {
    ProbedFile file;
    std::string host;
  };
  void read();
  void write() const;
  [[nodiscard]] static std::vector<Entry> parse(const std::string& text, const std::string& source);

  std::filesystem::path path_;  // "": nothing is kept
  std::string host_;
  std::vector<Entry> entries_;  // oldest first
  bool changed_ = false;
};

}  // namespace pergola::host
