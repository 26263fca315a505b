// SPDX-License-Identifier: BSD-3-Clause
// Loads plugins: check, dlopen, compare, publish. A library that was opened stays mapped until the
// process ends, because a model or an exception that outlives its code is a crash; loaders own none
// of it. All on the main thread, and after the first CUDA call, never during it.
#pragma once

#include "host/plugin/manifest.h"

#include <filesystem>
#include <vector>

namespace pergola {
class Registry;
}

namespace pergola::host {

struct LoadedPlugin {
  std::filesystem::path path;  // without symbolic links
  PluginManifest manifest;
};

class PluginLoader {
 public:
  // Publishes into `registry`, which must outlive the loader.
  explicit PluginLoader(Registry& registry) : registry_(registry) {}

  // Makes a plugin's factories known; a file that this loader has loaded is not loaded again. The
  // result lives until the process ends. Throws Error{kPlugin} when anything is wrong with the
  // file, with the registry as before. Files that cannot be right are refused before any of their
  // code runs. An exception in a static constructor cannot be caught: it ends the process, with a
  // sentence and exit code 3.
  const LoadedPlugin& load(const std::filesystem::path& path);

  // In the order in which they were loaded.
  [[nodiscard]] const std::vector<const LoadedPlugin*>& loaded() const noexcept { return loaded_; }

 private:
  Registry& registry_;
  std::vector<const LoadedPlugin*> loaded_;
};

}  // namespace pergola::host
