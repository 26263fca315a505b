// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/manifest.h"

#include "host/config/toml.h"
#include "host/plugin/config_spec.h"
#include "host/plugin/table_reader.h"
#include "host/support/printable.h"
#include "pergola/error.h"

#include <algorithm>

namespace pergola::host {
namespace {

// MAJOR.MINOR.PATCH, and then perhaps "-beta.1" or "+build.5".
bool is_version(std::string_view text) {
  for (int number = 0; number < 3; ++number) {
    const auto digits = static_cast<std::size_t>(
        std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
    if (digits == 0 || digits > 9) return false;
    text.remove_prefix(digits);
    if (number == 2) break;
    if (text.empty() || text[0] != '.') return false;
    text.remove_prefix(1);
  }
  if (text.empty()) return true;
  return (text[0] == '-' || text[0] == '+') && text.size() > 1 && text.size() <= 64 &&
         std::all_of(text.begin() + 1, text.end(), [](char c) {
           return is_digit(c) || is_small_letter(c) || (c >= 'A' && c <= 'Z') || c == '.' ||
                  c == '-' || c == '+';
         });
}

// `defaults`: the key of the table with them. `more`: the other keys that may be there.
ConfigurableManifest parse_configurable(const TableReader& reader, const std::string& defaults,
                                        SpecOf of, const std::vector<std::string>& more = {}) {
  std::vector<std::string> known = {"description", defaults, kSpecKey};
  known.insert(known.end(), more.begin(), more.end());
  reader.allow_only(known);
  ConfigurableManifest entry;
  entry.description = reader.text("description");
  if (const Value* config = reader.find(defaults); config != nullptr) {
    (void)reader.table(defaults);  // checks that it is one
    entry.config = *config;
  }
  entry.params = parse_config_spec(reader, defaults, entry.config, of);
  if (reader.find("hugging_face") != nullptr) {
    entry.hugging_face = parse_hugging_face(reader.table("hugging_face"), entry.config);
  }
  if (of == SpecOf::kModel) entry.inputs = parse_model_inputs(reader, entry.config, entry.params);
  return entry;
}

// [models] or [datasets], if it is there; `more` is what else one may have.
ConfigurableManifests parse_configurables(const TableReader& root, const std::string& table,
                                          std::string_view what, SpecOf of,
                                          const std::vector<std::string>& more = {}) {
  ConfigurableManifests all;
  if (root.find(table) == nullptr) return all;
  const TableReader reader = root.table(table);
  for (const auto& [key, value] : reader.entries()) {
    reader.require_key(key, what);
    all.emplace(key, parse_configurable(reader.table(key), "config", of, more));
  }
  return all;
}

// provides.loss = ["focal_loss"]
ConfigurableManifests parse_keys(const TableReader& reader, const std::string& kind) {
  ConfigurableManifests all;
  for (const std::string& key : reader.texts(kind)) {
    reader.require_key(key, concat("the ", kind, " key"));
    if (!all.emplace(key, ConfigurableManifest()).second) {
      reader.fail(concat("'provides.", kind, "' lists '", key, "' twice; list it once"));
    }
  }
  return all;
}

// [provides.loss.focal_loss]
ConfigurableManifests parse_components(const TableReader& reader, const std::string& kind) {
  ConfigurableManifests all;
  for (const auto& [key, value] : reader.entries()) {
    reader.require_key(key, concat("the ", kind, " key"));
    all.emplace(key, parse_configurable(reader.table(key), "params", SpecOf::kComponent));
  }
  return all;
}

void parse_provides(const TableReader& reader, PluginManifest& manifest) {
  for (const char* kind : {"model", "dataset"}) {
    if (reader.find(kind) == nullptr) continue;
    reader.fail(concat("'provides.", kind, "' is not how ", kind,
                       "s are listed; give each a table [", kind, "s.<key>] with a description"));
  }
  reader.allow_only(registered_kinds());
  for (const auto& [kind, value] : reader.entries()) {
    ConfigurableManifests all =
        value.is_table() ? parse_components(reader.table(kind), kind) : parse_keys(reader, kind);
    if (!all.empty()) manifest.provides.emplace(kind, std::move(all));
  }
}

Value parse_manifest_toml(std::string_view text, const std::string& source) {
  if (text.size() > kMaxManifestSize) {
    throw Error(ErrorKind::kPlugin, printable(source), " is ", text.size(), " bytes; at most ",
                kMaxManifestSize, " are allowed");
  }
  try {
    return parse_toml(text, source, ErrorKind::kPlugin);
  } catch (const Error& error) {  // it quotes the text as it is
    throw Error(ErrorKind::kPlugin, printable(error.what()));
  }
}

}  // namespace

const std::vector<std::string>& registered_kinds() {
  static const std::vector<std::string> kinds = {"model",     "loss",      "metric",    "dataset",
                                                 "processor", "optimizer", "scheduler", "callback"};
  return kinds;
}

const ConfigurableManifests& PluginManifest::all(std::string_view kind) const {
  static const ConfigurableManifests kNone;
  if (kind == "model") return models;
  if (kind == "dataset") return datasets;
  const auto found = provides.find(kind);
  return found == provides.end() ? kNone : found->second;
}

std::vector<std::string> PluginManifest::keys(std::string_view kind) const {
  std::vector<std::string> keys;
  for (const auto& [key, entry] : all(kind)) keys.push_back(key);
  return keys;
}

ComponentSpec component_spec(const ConfigurableManifest& manifest) {
  return {manifest.description, top_specs(manifest.params)};
}

PluginManifest parse_manifest(std::string_view text, const std::string& source) {
  const Value root = parse_manifest_toml(text, source);
  const TableReader reader(root, "", source);
  reader.allow_only(
      {"name", "version", "license", "description", "authors", "models", "datasets", "provides"});

  PluginManifest manifest;
  manifest.name = reader.text("name");
  reader.require_key(manifest.name, "the plugin's name");
  manifest.version = reader.text("version");
  if (!is_version(manifest.version)) {
    reader.fail(concat("version = '", manifest.version, "' is not MAJOR.MINOR.PATCH (\"0.1.0\")"));
  }
  manifest.license = reader.text("license");
  manifest.description = reader.text("description");
  manifest.authors = reader.texts("authors");
  manifest.models = parse_configurables(reader, "models", "the model key", SpecOf::kModel,
                                        {"hugging_face", "fields", "check"});
  manifest.datasets = parse_configurables(reader, "datasets", "the data set key", SpecOf::kDataset);
  if (reader.find("provides") != nullptr) parse_provides(reader.table("provides"), manifest);
  if (manifest.models.empty() && manifest.datasets.empty() && manifest.provides.empty()) {
    reader.fail(
        "the plugin has no models and nothing else to offer; "
        "list its models as [models.<key>]");
  }
  return manifest;
}

}  // namespace pergola::host
