// SPDX-License-Identifier: BSD-3-Clause
// Loads plugins: check, dlopen, compare, publish. A library that was opened stays mapped until the
// process ends, because a model or an exception that outlives its code is a crash; loaders own none
// of it. All on the main thread, and after the first CUDA call, never during it.
#pragma once

#include "host/plugin/manifest.h"
#include "host/plugin/trust.h"

#include <filesystem>
#include <utility>
#include <vector>

namespace pergola {
class Registry;
}

namespace pergola::host {

struct LoadedPlugin {
  std::filesystem::path path;  // without symbolic links
  PluginManifest manifest;
  std::string sha256;  // of the content that was loaded; its fingerprint is the host's
};

class PluginLoader {
 public:
  // Publishes into `registry`, which must outlive the loader.
  explicit PluginLoader(Registry& registry, TrustPolicy policy = {})
      : registry_(registry), policy_(std::move(policy)) {}

  // Makes a plugin's factories known; a file that this loader has loaded is not loaded again. The
  // result lives until the process ends. Throws Error{kPlugin} when anything is wrong with the
  // file, with the registry as before. Files that cannot be right, or are not trusted, are refused
  // before any of their code runs; the very content that was checked is loaded. An exception in a
  // static constructor cannot be caught: it ends the process, with a sentence and exit code 3.
  const LoadedPlugin& load(const std::filesystem::path& path);

  // In the order in which they were loaded.
  [[nodiscard]] const std::vector<const LoadedPlugin*>& loaded() const noexcept { return loaded_; }

 private:
  Registry& registry_;
  TrustPolicy policy_;
  std::vector<const LoadedPlugin*> loaded_;
};

}  // namespace pergola::host
