// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/plugins.h"

#include "host/config/merge.h"
#include "host/data/dataset_params.h"
#include "host/data/defaults.h"
#include "host/plugin/search_path.h"
#include "host/run/checkpoints.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <iterator>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

TrustPolicy policy_of(const ConfigDraft& draft) {
  TrustPolicy policy;
  if (draft.plugin_trust() == "any") policy.trust = Trust::kAny;
  if (draft.plugin_trust() == "locked") policy = locked_policy(draft.plugin_lock());
  return policy;
}

PluginCatalog scan(const std::vector<std::string>& options,
                   const std::vector<std::filesystem::path>& config_path, TrustPolicy policy) {
  SearchPathSources sources;
  sources.options = options;
  for (const std::filesystem::path& path : config_path) sources.config.push_back(path.string());
  return PluginCatalog(plugin_search_path(sources), std::move(policy));
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

KnownTable known_of(const PluginFile& file, const ConfigurableManifest& entry) {
  return {entry.config, entry.params, concat("`pergola plugins inspect ", file.path.string(), "`")};
}

DefaultsProvider defaults_of(const PluginCatalog& catalog) {
  DefaultsProvider provider;
  provider.model_defaults = [&catalog](const std::string& name) -> std::optional<KnownTable> {
    const PluginFile* file = find_plugin(catalog, "model", name, catalog.keys("model"));
    if (file == nullptr) return std::nullopt;
    return known_of(*file, file->manifest->models.at(name));
  };
  provider.dataset_defaults = [&catalog](const std::string& name) -> std::optional<KnownTable> {
    if (std::optional<Value> defaults = host_dataset_defaults(name)) {
      set_origins(*defaults, name);
      return KnownTable(std::move(*defaults), host_dataset_params(name), "`pergola list datasets`");
    }
    const PluginFile* file = find_plugin(catalog, "dataset", name, known_datasets(catalog));
    if (file == nullptr) return std::nullopt;
    return known_of(*file, file->manifest->datasets.at(name));
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
  PluginCatalog catalog = scan(options, draft.plugin_path(), policy_of(draft));
  ResolvedConfig config = draft.resolve(defaults_of(catalog));
  return {std::move(catalog), std::move(config)};
}

ConfigAndPlugins load_saved_config(Value config_of_run, const std::string& source,
                                   std::vector<Override> overrides,
                                   const std::vector<std::string>& options) {
  // Whom this user trusts is not for who made a checkpoint to say.
  const Value* const plugins = config_of_run.find("plugins");
  if (plugins != nullptr && plugins->is_table()) {  // another thing is refused where it is read
    Value::Table& table = config_of_run["plugins"].as_table();
    for (const char* key : {"trust", "lock_file", "probe"}) table.erase(key);
  }
  const ConfigDraft draft(std::move(config_of_run), source, std::move(overrides));
  std::vector<std::filesystem::path> path = draft.plugin_path();
  std::erase_if(path, [](const std::filesystem::path& folder) {
    std::error_code error;
    return !std::filesystem::exists(folder, error);
  });
  PluginCatalog catalog = scan(options, path, policy_of(draft));
  ResolvedConfig config = draft.resolve(defaults_of(catalog));
  return {std::move(catalog), std::move(config)};
}

PluginCatalog scan_plugins(const std::vector<std::string>& options, TrustPolicy policy) {
  return scan(options, {}, std::move(policy));
}

}  // namespace pergola::host
