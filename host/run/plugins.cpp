// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/plugins.h"

#include "host/config/merge.h"
#include "host/data/defaults.h"
#include "host/plugin/search_path.h"
#include "host/run/checkpoints.h"
#include "pergola/suggest.h"

#include <iterator>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

PluginCatalog scan(const std::vector<std::string>& options,
                   const std::vector<std::filesystem::path>& config_path) {
  SearchPathSources sources;
  sources.options = options;
  for (const std::filesystem::path& path : config_path) sources.config.push_back(path.string());
  return PluginCatalog(plugin_search_path(sources));
}

// The plugin with that model or data set; null when no plugin has it.
const PluginFile* find_plugin(const PluginCatalog& catalog, const char* kind,
                              const std::string& name, const std::vector<std::string>& known) {
  const PluginFile* file = catalog.find(kind, name);
  // A name that is almost a known one is a typo, whatever other files there are. Otherwise it may
  // be in a file that could not be used, and then that is the error.
  if (file == nullptr && !catalog.note_of_unusable().empty() && closest(name, known).empty()) {
    static_cast<void>(catalog.require(kind, name, kind));
  }
  return file;
}

std::vector<std::string> known_datasets(const PluginCatalog& catalog) {
  std::vector<std::string> all = catalog.keys("dataset");
  all.insert(all.end(), std::begin(kHostDatasets), std::end(kHostDatasets));
  return all;
}

DefaultsProvider defaults_of(const PluginCatalog& catalog) {
  DefaultsProvider provider;
  provider.model_defaults = [&catalog](const std::string& name) -> std::optional<Value> {
    const PluginFile* file = find_plugin(catalog, "model", name, catalog.keys("model"));
    if (file == nullptr) return std::nullopt;
    return file->manifest->models.at(name).config;
  };
  provider.dataset_defaults = [&catalog](const std::string& name) -> std::optional<Value> {
    if (std::optional<Value> defaults = host_dataset_defaults(name)) {
      set_origins(*defaults, name);
      return defaults;
    }
    const PluginFile* file = find_plugin(catalog, "dataset", name, known_datasets(catalog));
    if (file == nullptr) return std::nullopt;
    return file->manifest->datasets.at(name).config;
  };
  provider.model_hint = [&catalog](const std::string& name) {
    return catalog.hint(name, catalog.keys("model"));
  };
  provider.dataset_hint = [&catalog](const std::string& name) {
    return catalog.hint(name, known_datasets(catalog));
  };
  return provider;
}

}  // namespace

ConfigAndPlugins load_config(const std::filesystem::path& file, std::vector<Override> overrides,
                             const std::vector<std::string>& options) {
  const ConfigDraft draft(file, std::move(overrides), read_saved_model);
  PluginCatalog catalog = scan(options, draft.plugin_path());
  ResolvedConfig config = draft.resolve(defaults_of(catalog));
  return {std::move(catalog), std::move(config)};
}

ConfigAndPlugins load_saved_config(Value config_of_run, const std::string& source,
                                   std::vector<Override> overrides,
                                   const std::vector<std::string>& options) {
  const ConfigDraft draft(std::move(config_of_run), source, std::move(overrides));
  std::vector<std::filesystem::path> path = draft.plugin_path();
  std::erase_if(path, [](const std::filesystem::path& folder) {
    std::error_code error;
    return !std::filesystem::exists(folder, error);
  });
  PluginCatalog catalog = scan(options, path);
  ResolvedConfig config = draft.resolve(defaults_of(catalog));
  return {std::move(catalog), std::move(config)};
}

PluginCatalog scan_plugins(const std::vector<std::string>& options) { return scan(options, {}); }

}  // namespace pergola::host
