// SPDX-License-Identifier: BSD-3-Clause
// Where plugins are looked for: --plugin-path, then PERGOLA_PLUGIN_PATH, then `plugins.path` of the
// config, then <prefix>/lib/pergola/plugins. Plain functions; thread-safe.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace pergola::host {

// The folder above the one that the running program is in: /usr/local for /usr/local/bin/pergola,
// and a build tree's for the program there. Empty when /proc cannot be read.
[[nodiscard]] std::filesystem::path install_prefix();

// <prefix>/lib/pergola/plugins
[[nodiscard]] std::filesystem::path default_plugin_folder();

// The value of PERGOLA_PLUGIN_PATH; "" when it is not set, or when the program runs with more
// rights than its caller, who must not choose its code then.
[[nodiscard]] std::string environment_plugin_path();

struct SearchPathSources {
  std::vector<std::string> options;                     // of --plugin-path, one each
  std::string environment = environment_plugin_path();  // separated by colons
  std::vector<std::string> config;                      // plugins.path
  std::filesystem::path default_folder = default_plugin_folder();
};

// All places in their order: folders, and files named one by one. Throws Error{kConfig}, naming who
// asked for it, for a place that does not exist; only the default folder may be missing.
[[nodiscard]] std::vector<std::filesystem::path> plugin_search_path(
    const SearchPathSources& sources);

}  // namespace pergola::host
