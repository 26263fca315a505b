// SPDX-License-Identifier: BSD-3-Clause
// A plugin file as it can be known without loading it, and whether this host would load it. Plain
// data. Thread-safe.
#pragma once

#include "host/plugin/elf_sections.h"
#include "host/plugin/elf_symbols.h"
#include "host/plugin/fingerprint.h"
#include "host/plugin/manifest.h"
#include "host/plugin/trust.h"

#include <filesystem>
#include <optional>
#include <string>

namespace pergola::host {

struct PluginFile {
  std::filesystem::path path;            // as it was found
  std::optional<FileIdentity> identity;  // empty when there is no such file
  // Both are also there when the file cannot be used, as far as they can be read.
  std::optional<PluginManifest> manifest;
  std::optional<Fingerprint> fingerprint;
  ElfSymbols symbols;  // of a usable one
  // Why this host does not load it: a sentence, for another build's plugin with a table; "" when
  // it is trusted and all that can be known without loading is right.
  std::string problem;

  [[nodiscard]] bool usable() const noexcept { return problem.empty(); }
};

// Looks into the file; runs nothing of it. Whatever is wrong with it ends in `problem`.
[[nodiscard]] PluginFile inspect_plugin(const std::filesystem::path& path,
                                        const TrustPolicy& policy = {});
[[nodiscard]] PluginFile inspect_plugin(const ElfFile& file, const TrustPolicy& policy = {});

}  // namespace pergola::host
