// SPDX-License-Identifier: BSD-3-Clause
// What a config names that the host or a plugin has to bring, and whether those plugins are fit to
// join this process. Main thread.
#pragma once

#include "host/config/run_config.h"
#include "host/plugin/catalog.h"
#include "pergola/registry.h"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace pergola::host {

// A key that the config names, and where.
struct WantedKey {
  Kind kind;
  std::string key;
  std::string where;
};

// All of a run: those of the model first. Throws Error{kConfig} for tables that cannot be read.
[[nodiscard]] std::vector<WantedKey> wanted_keys(const RunConfig& config);

// Throws the Error{kConfig} of a key that neither the host nor a plugin has. The suggestions are
// those of plugins that were not loaded too.
[[noreturn]] void refuse(const WantedKey& wanted, const Registry& registry,
                         const PluginCatalog& catalog);

// Why a plugin must not be loaded, by its file; those that may be are not in it.
using UnfitPlugins = std::map<std::filesystem::path, std::string>;

// Tries the plugins that the config needs in child processes, unless it is known that they are fit
// (host/plugin/probe.h), or plugins.probe is false. What else is wrong with the config is left for
// who looks its keys up, so that errors come in their order. Throws Stopped.
// REQUIRES: no CUDA call was made yet.
[[nodiscard]] UnfitPlugins try_wanted_plugins(const RunConfig& config,
                                              const PluginCatalog& catalog);

}  // namespace pergola::host
