// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/publish.h"

#include "pergola/registry.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <iterator>
#include <set>

namespace pergola::host {
namespace {

using Names = std::set<std::string>;  // "model 'pythia'"

std::string name_of(const std::string& kind, const std::string& key) {
  return concat(kind, " '", key, "'");
}

std::vector<std::string> difference(const Names& from, const Names& what) {
  std::vector<std::string> rest;
  std::set_difference(from.begin(), from.end(), what.begin(), what.end(), std::back_inserter(rest));
  return rest;
}

}  // namespace

Announcements collect_announcements() {
  Announcements all;
  for (const Announcement* node = take_announcements(); node != nullptr; node = node->next) {
    all.push_back(node);
  }
  return all;
}

std::string promise_broken(const Announcements& announcements, const PluginManifest& manifest) {
  Names promised;
  for (const std::string& kind : registered_kinds()) {
    for (const std::string& key : manifest.keys(kind)) promised.insert(name_of(kind, key));
  }
  Names registered;
  for (const Announcement* node : announcements) {
    const std::string name = name_of(kind_name(node->kind), node->key);
    if (!registered.insert(name).second) return concat("registers ", name, " twice");
  }
  if (registered.empty()) {
    return concat("registers nothing, although its plugin.toml promises ",
                  join(difference(promised, {})),
                  "; is PERGOLA_REGISTER_MODEL missing, or a file in SOURCES of "
                  "pergola_add_plugin?");
  }
  const std::vector<std::string> missing = difference(promised, registered);
  const std::vector<std::string> unknown = difference(registered, promised);
  if (missing.empty() && unknown.empty()) return "";
  std::string text = "does not keep what its plugin.toml says: ";
  if (!missing.empty()) text += "its code does not register " + join(missing);
  if (!missing.empty() && !unknown.empty()) text += ", and ";
  if (!unknown.empty()) text += "its plugin.toml does not list " + join(unknown);
  return text + "; make code and plugin.toml name the same keys";
}

void publish(const Announcements& announcements, const PluginManifest& manifest,
             const std::string& library, Registry& registry) {
  std::vector<Announcement> nodes;
  Specs specs;
  nodes.reserve(announcements.size());
  for (const Announcement* node : announcements) {
    nodes.push_back(*node);
    const auto& all = manifest.provides;  // models and data sets have their tables in the config
    const auto kind = all.find(kind_name(node->kind));
    if (kind == all.end()) continue;
    const ConfigurableManifest& entry = kind->second.at(node->key);
    if (entry.params.empty()) continue;
    specs.emplace(std::pair(node->kind, std::string(node->key)), component_spec(entry));
  }
  registry.publish(nodes, library, specs);
}

}  // namespace pergola::host
