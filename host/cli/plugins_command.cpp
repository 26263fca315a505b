// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/arguments.h"
#include "host/cli/commands.h"
#include "host/config/toml.h"
#include "host/run/plugins.h"
#include "host/support/hash.h"
#include "host/support/log.h"
#include "host/support/printable.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <filesystem>
#include <iostream>
#include <system_error>

namespace pergola::host {
namespace {

constexpr const char* kPluginsUsage = "pergola plugins list | inspect FILE [--plugin-path DIR]";

int list_plugins(const Arguments& arguments) {
  const PluginCatalog catalog = scan_plugins(arguments.plugin_path);
  for (const PluginFile& file : catalog.files()) {
    const std::string name =
        file.manifest ? file.manifest->name + " " + file.manifest->version : "-";
    std::cout << name << '\t' << (file.manifest ? join(file.manifest->keys("model"), ",") : "-")
              << '\t' << (file.usable() ? "ok" : "refused") << '\t' << printable(file.path.string())
              << '\n';
    if (!file.usable()) log::warning("[plugin] ", file.problem);
  }
  if (catalog.files().empty())
    log::warning("[plugin] no plugin was found; name a folder with --plugin-path");
  return 0;
}

int inspect(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) {
    throw Error(ErrorKind::kPlugin, "there is no file ", path,
                "; `pergola plugins list` shows the plugins that were found, with their files");
  }
  const PluginFile file = inspect_plugin(path);
  if (!file.manifest) throw Error(ErrorKind::kPlugin, file.problem);
  const PluginManifest& manifest = *file.manifest;
  std::cout << "# " << manifest.name << ' ' << manifest.version << ", " << manifest.license
            << "\n# " << manifest.description << "\n# file " << printable(path) << "\n# sha256 "
            << sha256_file(path, ErrorKind::kPlugin) << '\n';
  if (file.fingerprint) {
    for (const auto& [field, value] : *file.fingerprint) {
      std::cout << "# built with " << field << ' ' << value << '\n';
    }
  }
  // The rest is TOML that can be pasted into a config.
  Value defaults{Value::Table{}};
  for (const auto& [name, model] : manifest.models) {
    std::cout << "# model " << name << ": " << model.description << '\n';
    if (model.hugging_face) {
      std::cout << "# at Hugging Face:";
      for (const auto& each : model.hugging_face->classes) std::cout << ' ' << each.name;
      std::cout << '\n';
    }
    defaults["model_config"][name] = model.config;
  }
  for (const auto& [name, dataset] : manifest.datasets) {
    std::cout << "# data set " << name << ": " << dataset.description << '\n';
    defaults["dataset_config"][name] = dataset.config;
  }
  for (const auto& [kind, all] : manifest.provides) {
    for (const auto& [key, entry] : all) {
      std::cout << "# " << kind << ' ' << key << ": " << entry.description;
      const bool has_params = !entry.config.as_table().empty();
      if (has_params) std::cout << ' ' << printable(to_string(entry.config));
      std::cout << '\n';
    }
  }
  std::cout << '\n' << to_toml(defaults);
  if (!file.usable()) throw Error(ErrorKind::kPlugin, file.problem);
  return 0;
}

}  // namespace

int plugins_command(const Words& words) {
  Arguments arguments = parse_arguments(words, kPluginsUsage, Options::kPlugins);
  if (arguments.help) return 0;
  const std::string verb = take_positional(arguments, "`list` or `inspect`", kPluginsUsage);
  if (verb == "list") {
    expect_no_more(arguments, kPluginsUsage);
    return list_plugins(arguments);
  }
  if (verb != "inspect") {
    throw Error(ErrorKind::kConfig, "'", verb, "' is not known",
                did_you_mean(verb, {"list", "inspect"}), "; usage: ", kPluginsUsage);
  }
  const std::string path = take_positional(arguments, "FILE", kPluginsUsage);
  expect_no_more(arguments, kPluginsUsage);
  return inspect(path);
}

}  // namespace pergola::host
