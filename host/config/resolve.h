// SPDX-License-Identifier: BSD-3-Clause
// From a config file to the config of a run, in two stages, because the defaults of models come
// from plugins and the config says where plugins are. Later layers win:
//
//   built-in < the plugin's for the model < the data set's < includes < the file < the command line
#pragma once

#include "host/config/config_params.h"
#include "host/config/model_table.h"
#include "host/config/overrides.h"
#include "host/config/toml.h"
#include "pergola/config.h"
#include "pergola/value.h"

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

// Who knows models and data sets. Known are the tables for model_config.<name> and
// dataset_config.<name>, nothing for a name that is unknown; the top keys of their defaults and
// params are all that a config may set there (and `losses`, for a model). A hint ends the message
// about an unknown name: the closest one, or where it was looked for.
struct DefaultsProvider {
  std::function<std::optional<KnownTable>(const std::string& name)> model_defaults;
  std::function<std::optional<KnownTable>(const std::string& name)> dataset_defaults;
  std::function<std::string(const std::string& name)> model_hint;
  std::function<std::string(const std::string& name)> dataset_hint;
};

// The finished config: all layers merged, references resolved, keys and types checked.
struct ResolvedConfig {
  Config root;

  // For `config show`: TOML, behind each value a comment with its origin.
  [[nodiscard]] std::string show() const;
  // For config.toml and checkpoints: TOML that resolves to the same config again, with comments as
  // in show() if asked for.
  [[nodiscard]] std::string to_file(Origins origins = Origins::kHide) const;
};

// First stage: what the user wrote, over the built-in defaults. Immutable.
class ConfigDraft {
 public:
  // Reads the file and its includes. Throws Error{kConfig} for a file that cannot be read or is not
  // TOML, an override that does not fit, and a key that is unknown or that is missing and has no
  // default (model, dataset); and as expand_model_table does, which uses `read`.
  ConfigDraft(const std::filesystem::path& file, std::vector<Override> overrides,
              const SavedModelReader& read = {});
  // The same for a config that is there already, such as a checkpoint's; `source` names it.
  ConfigDraft(Value user, const std::string& source, std::vector<Override> overrides,
              const SavedModelReader& read = {});

  [[nodiscard]] const std::string& model() const { return model_.as_string(); }
  [[nodiscard]] const std::vector<std::string>& datasets() const noexcept { return datasets_; }
  // plugins.path, in its order.
  [[nodiscard]] const std::vector<std::filesystem::path>& plugin_path() const noexcept {
    return plugin_path_;
  }

  // plugins.trust and plugins.lock_file.
  [[nodiscard]] const std::string& plugin_trust() const noexcept { return plugin_trust_; }
  [[nodiscard]] const std::filesystem::path& plugin_lock() const noexcept { return plugin_lock_; }

  // Second stage. Throws Error{kConfig} for a model or data set that is unknown, for an unknown key
  // of theirs, a value of the wrong type or, as check_params does, one that is not what the
  // provider knows of it, and a reference or an alias that leads nowhere.
  [[nodiscard]] ResolvedConfig resolve(const DefaultsProvider& provider) const;

 private:
  Value user_;  // file over includes
  std::vector<Override> overrides_;
  Value model_;                      // a string
  Value dataset_;                    // a string, or an array of them
  std::vector<std::string> models_;  // the names in them
  std::vector<std::string> datasets_;
  std::vector<std::filesystem::path> plugin_path_;
  std::string plugin_trust_;
  std::filesystem::path plugin_lock_;
};

// Both stages, for callers that know the plugins beforehand.
[[nodiscard]] ResolvedConfig resolve_config(const std::filesystem::path& file,
                                            std::vector<Override> overrides,
                                            const DefaultsProvider& provider,
                                            const SavedModelReader& read = {});

}  // namespace pergola::host
