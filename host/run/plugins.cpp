// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/plugins.h"

#include "host/data/defaults.h"
#include "host/plugin/search_path.h"

#include <algorithm>

namespace pergola::host {
namespace {

constexpr const char* kEasyVqa = "easy_vqa";

PluginCatalog scan(const std::vector<std::string>& options,
                   const std::vector<std::filesystem::path>& config_path) {
  SearchPathSources sources;
  sources.options = options;
  for (const std::filesystem::path& path : config_path) sources.config.push_back(path.string());
  return PluginCatalog(plugin_search_path(sources));
}

DefaultsProvider defaults_of(const PluginCatalog& catalog) {
  DefaultsProvider provider;
  provider.model_defaults = [&catalog](const std::string& name) -> std::optional<Value> {
    const PluginFile* file = catalog.find("model", name);
    if (file == nullptr) {
      // When a file could not be used, the model may be in it: that is the plugin's error then.
      const auto usable = [](const PluginFile& f) { return f.usable(); };
      if (std::all_of(catalog.files().begin(), catalog.files().end(), usable)) return std::nullopt;
      static_cast<void>(catalog.require("model", name, "model"));
    }
    return file->manifest->models.at(name).config;
  };
  provider.dataset_defaults = [](const std::string& name) -> std::optional<Value> {
    if (name != kEasyVqa) return std::nullopt;
    return easy_vqa_defaults();
  };
  provider.known_models = [&catalog] { return catalog.keys("model"); };
  provider.known_datasets = [] { return std::vector<std::string>{kEasyVqa}; };
  return provider;
}

}  // namespace

ConfigAndPlugins load_config(const std::filesystem::path& file,
                             const std::vector<std::string>& overrides,
                             const std::vector<std::string>& options) {
  const ConfigDraft draft(file, overrides);
  PluginCatalog catalog = scan(options, draft.plugin_path());
  ResolvedConfig config = draft.resolve(defaults_of(catalog));
  return {std::move(catalog), std::move(config)};
}

PluginCatalog scan_plugins(const std::vector<std::string>& options) { return scan(options, {}); }

}  // namespace pergola::host
