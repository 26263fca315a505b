// SPDX-License-Identifier: BSD-3-Clause
// From a command line to a resolved config: the config says where plugins are, the plugins say what
// the config's tables may hold. No LibTorch here.
#pragma once

#include "host/config/resolve.h"
#include "host/plugin/catalog.h"

#include <filesystem>
#include <string>
#include <vector>

namespace pergola::host {

struct ConfigAndPlugins {
  PluginCatalog catalog;
  ResolvedConfig config;
};

// Reads the config, scans the plugin folders (no code of a plugin runs) and resolves. `options` are
// the folders of --plugin-path. Throws what these throw.
[[nodiscard]] ConfigAndPlugins load_config(const std::filesystem::path& file,
                                           std::vector<Override> overrides,
                                           const std::vector<std::string>& options);

// The same of a config that was resolved and saved by a run, perhaps elsewhere: folders of its
// plugins.path that are not here are passed over, and so is whom it trusted. `source` names it in
// messages.
[[nodiscard]] ConfigAndPlugins load_saved_config(Value config_of_run, const std::string& source,
                                                 std::vector<Override> overrides,
                                                 const std::vector<std::string>& options);

// The catalog of the plugin folders, for commands without a config.
[[nodiscard]] PluginCatalog scan_plugins(const std::vector<std::string>& options,
                                         TrustPolicy policy = {});

}  // namespace pergola::host
