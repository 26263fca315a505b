// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/resolve.h"

#include "host/config/aliases.h"
#include "host/config/config_text.h"
#include "host/config/includes.h"
#include "host/config/interpolate.h"
#include "host/config/merge.h"
#include "host/config/schema.h"
#include "host/config/toml.h"
#include "pergola/error.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace pergola::host {
namespace {

// model_config and `model`, or dataset_config and `dataset`: the two go the same way.
struct Section {
  const char* table;                       // "model_config"
  const char* key;                         // "model"
  const Value& value;                      // what is behind that key, with its origin
  const std::vector<std::string>& chosen;  // the names that are
  const char* always;                      // a key of each table that the host itself reads, or ""
  const char* nobody;                      // why a name is unknown
  const std::function<std::optional<KnownTable>(const std::string&)>& defaults_of;
  const std::function<std::string(const std::string&)>& hint;
  std::map<std::string, KnownTable> known = {};  // of each name that the config has
  Aliases aliases = {};
};

std::string at_origin(const Value& value) {
  return value.origin().empty() ? "" : " (" + value.origin() + ")";
}

void add_defaults(Section& section, const std::string& name, const std::string& where) {
  if (section.known.count(name) != 0) return;
  std::optional<KnownTable> known = section.defaults_of(name);
  if (!known) {
    const auto alias = section.aliases.find(name);
    throw Error(
        ErrorKind::kConfig, where, " is unknown: ", section.nobody,
        alias == section.aliases.end()
            ? section.hint(name)
            : concat("; ", section.table, ".", name, " = ", to_string(alias->second),
                     at_origin(alias->second), " gives it a table and makes it no ", section.key,
                     ": set ", section.key, " to the name of one, and the alias for that name"));
  }
  section.known.emplace(name, std::move(*known));
}

// Gets the defaults of the chosen name, and of all that the user has tables for.
void collect_defaults(Section& section, const Value& user, const std::vector<Override>& overrides) {
  for (const std::string& name : section.chosen) {
    add_defaults(section, name,
                 concat(section.key, " = ", to_string(section.value), at_origin(section.value)));
  }
  const Value* table = user.find(section.table);
  if (table != nullptr && table->is_table()) {
    for (const auto& [name, value] : table->as_table()) {
      add_defaults(section, name, concat(section.table, ".", name, at_origin(value)));
    }
  }
  for (const Override& change : overrides) {
    if (change.path[0] != Override::Step(section.table)) continue;
    if (change.path.size() == 1 && change.value.is_table()) {
      for (const auto& [name, value] : change.value.as_table()) {
        add_defaults(section, name, concat(section.table, ".", name, " (command line)"));
      }
    }
    if (change.path.size() < 2) continue;
    const auto* name = std::get_if<std::string>(&change.path[1]);
    if (name != nullptr) add_defaults(section, *name, change.key + " (command line)");
  }
}

// All keys that the table of `known` may have; of some, no more than the name is known.
ConfigParams params_of(const KnownTable& known, const std::string& always) {
  ConfigParams params = known.params;
  const auto add = [&params](const std::string& name) {
    const auto has_name = [&](const ConfigParam& param) { return param.spec.name == name; };
    if (name.empty() || std::ranges::any_of(params, has_name)) return;
    params.emplace_back().spec.name = name;
  };
  add(always);
  for (const auto& [key, unused] : known.defaults.as_table()) add(key);
  return params;
}

// Checks each table against what is known of it.
void check_section(const Value& root, const Section& section) {
  for (const auto& [name, known] : section.known) {
    const std::string path = concat(section.table, ".", name);
    const Value& value = root.find(section.table)->as_table().at(name);
    if (!value.is_table()) {
      throw Error(ErrorKind::kConfig, path, " = ", to_string(value), at_origin(value), " is ",
                  value.type_name(), "; expected a table, or the name of another one there");
    }
    check_params(Config(value, path), params_of(known, section.always), known.shown_by);
  }
}

// `key` of the first stage, which must be there.
Value required(const Value& root, const char* key, const std::string& source, const char* command) {
  const Value value = resolve_references_at(root, key);
  if (value.is_null()) {
    throw Error(ErrorKind::kConfig, source, " does not say which ", key, " to use; add ", key,
                " = \"name\", and see `", command, "` for the names");
  }
  if (value.is_string() || (value.is_array() && key == std::string("dataset"))) return value;
  throw Error(ErrorKind::kConfig, key, " = ", to_string(value), at_origin(value), " is ",
              value.type_name(), "; expected a string");
}

std::vector<std::filesystem::path> plugin_path_of(const Config& plugins) {
  std::vector<std::filesystem::path> path;
  for (const std::string& folder : plugins.get<std::vector<std::string>>("path")) {
    path.emplace_back(folder);
  }
  return path;
}

// The overrides that can be applied before plugins are known.
std::vector<Override> without_sections(const std::vector<Override>& overrides) {
  std::vector<Override> result;
  std::copy_if(overrides.begin(), overrides.end(), std::back_inserter(result),
               [](const Override& o) {
                 const auto& key = std::get<std::string>(o.path.front());
                 return key != "model_config" && key != "dataset_config";
               });
  return result;
}

// Both layers over the built-in defaults, as far as that goes before plugins are known.
Value over_defaults(const Value& user, const std::vector<Override>& overrides) {
  Value root = default_config();
  merge(root, user);
  apply_overrides(root, without_sections(overrides));
  return root;
}

// max_epochs wins over max_updates, but not one of a file over what the command line asks for.
void prefer_length_of_command_line(Value& root) {
  const auto is_override = [&](const char* key) {
    const Value* value = root.find(key);
    return value != nullptr && value->origin() == kCommandLine;
  };
  if (!is_override("training.max_updates") || is_override("training.max_epochs")) return;
  root["training"].as_table().erase("max_epochs");
}

Value escaped(const Value& value) {
  Value copy = value;
  if (copy.is_string()) copy = Value(escape_references(copy.as_string()));
  if (copy.is_array()) {
    for (Value& item : copy.as_array()) item = escaped(item);
  }
  if (copy.is_table()) {
    for (auto& [key, item] : copy.as_table()) item = escaped(item);
  }
  copy.set_origin(value.origin());
  return copy;
}

}  // namespace

std::string ResolvedConfig::show() const { return to_toml(root.value(), Origins::kShow); }

std::string ResolvedConfig::to_file(Origins origins) const {
  return to_toml(escaped(root.value()), origins);
}

ConfigDraft::ConfigDraft(const std::filesystem::path& file, std::vector<Override> overrides,
                         const SavedModelReader& read)
    : ConfigDraft(load_with_includes(file), file.string(), std::move(overrides), read) {}

ConfigDraft::ConfigDraft(Value user, const std::string& source, std::vector<Override> overrides,
                         const SavedModelReader& read)
    : user_(std::move(user)), overrides_(std::move(overrides)) {
  expand_model_table(over_defaults(user_, overrides_), read, user_, overrides_);
  const Value root = over_defaults(user_, overrides_);
  check_keys(root);
  model_ = required(root, "model", source, "pergola list models");
  models_ = {model_.as_string()};
  dataset_ = required(root, "dataset", source, "pergola list datasets");
  datasets_ = dataset_names(Config(Value::Table{{"dataset", dataset_}}));
  const Config plugins(resolve_references_at(root, "plugins"), "plugins");
  plugin_path_ = plugin_path_of(plugins);
  plugin_trust_ = plugins.get_choice("trust", "owner", {"owner", "locked", "any"});
  plugin_lock_ = non_empty(plugins, "lock_file");
}

ResolvedConfig ConfigDraft::resolve(const DefaultsProvider& provider) const {
  Section sections[] = {
      {"model_config", "model", model_, models_, "losses",
       "no plugin found has a model of that name", provider.model_defaults, provider.model_hint},
      {"dataset_config", "dataset", dataset_, datasets_, "",
       "neither the host nor a plugin has that data set", provider.dataset_defaults,
       provider.dataset_hint},
  };
  Value user = user_;
  std::vector<Override> overrides = overrides_;
  Value root = default_config();
  for (Section& section : sections) {
    section.aliases = find_aliases(section.table, user, overrides);
    const auto is_known = [&](const std::string& name) {
      return section.defaults_of(name).has_value();
    };
    follow_aliases(section.table, section.aliases, is_known, user, overrides);
    collect_defaults(section, user, overrides);
    for (const auto& [name, known] : section.known) root[section.table][name] = known.defaults;
  }
  merge(root, user);
  apply_overrides(root, overrides);
  check_keys(root);
  root = resolve_references(root);
  prefer_length_of_command_line(root);
  check_values(root);
  for (const Section& section : sections) check_section(root, section);
  return {Config(std::move(root))};
}

ResolvedConfig resolve_config(const std::filesystem::path& file, std::vector<Override> overrides,
                              const DefaultsProvider& provider, const SavedModelReader& read) {
  return ConfigDraft(file, std::move(overrides), read).resolve(provider);
}

}  // namespace pergola::host
