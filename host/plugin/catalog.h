// SPDX-License-Identifier: BSD-3-Clause
// The catalog knows which plugin files there are and what each of them offers, without loading any.
// Owns what it read; does not notice later changes of the files. Immutable, so thread-safe.
#pragma once

#include "host/plugin/plugin_file.h"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

class PluginCatalog {
 public:
  // Looks into every *.so of every folder (not below it) and every file of `places`. A file that is
  // reached twice, by a symbolic link or a folder named twice, counts once.
  // Throws Error{kConfig} for a folder that cannot be listed; files never throw.
  explicit PluginCatalog(const std::vector<std::filesystem::path>& places, TrustPolicy policy = {});

  // All files in the order of the places, by name within a folder; unusable ones included.
  [[nodiscard]] const std::vector<PluginFile>& files() const noexcept { return files_; }

  // By which files were, and are to be loaded.
  [[nodiscard]] const TrustPolicy& policy() const noexcept { return policy_; }

  // The file that offers `key` of a kind ("model", "loss", ...), or null when none does.
  // Throws Error{kPlugin} when two usable files offer it, naming both, or only unusable ones do.
  [[nodiscard]] const PluginFile* find(std::string_view kind, std::string_view key) const;

  // The same, but throws Error{kConfig} when there is none: with `where` the key was written, the
  // closest key of the catalog and of `also_known`. Where files could not be used, and so may have
  // it, it is an Error{kPlugin} that names them.
  [[nodiscard]] const PluginFile& require(std::string_view kind, std::string_view key,
                                          std::string_view where = "",
                                          const std::vector<std::string>& also_known = {}) const;

  // The end of a message about a name that is not one of `known`: the closest of them, or all, with
  // where plugins were looked for; then what note_of_unusable() has.
  [[nodiscard]] std::string hint(std::string_view name,
                                 const std::vector<std::string>& known) const;

  // For the end of a message about what is missing: a line for each of the first files that could
  // not be used, "" when all could.
  [[nodiscard]] std::string note_of_unusable() const;

  // What find() throws, for each key that it throws for since two usable files offer it; and which
  // of the usable files cannot be in one process.
  [[nodiscard]] std::vector<std::string> conflicts() const;

  // All keys of a kind that usable files offer; sorted, each once.
  [[nodiscard]] std::vector<std::string> keys(std::string_view kind) const;

 private:
  std::vector<std::filesystem::path> places_;
  TrustPolicy policy_;
  std::vector<PluginFile> files_;
};

}  // namespace pergola::host
