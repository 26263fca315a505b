// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/arguments.h"
#include "host/cli/commands.h"
#include "host/config/params_toml.h"
#include "host/run/commands.h"
#include "host/run/plugins.h"
#include "host/support/log.h"
#include "host/support/printable.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <iostream>

namespace pergola::host {
namespace {

// The words of the command line, and the registry's for them.
constexpr std::pair<const char*, const char*> kKinds[] = {
    {"models", "model"},         {"losses", "loss"},          {"metrics", "metric"},
    {"optimizers", "optimizer"}, {"schedulers", "scheduler"}, {"datasets", "dataset"},
    {"processors", "processor"}, {"callbacks", "callback"}};

void print(const std::string& key, const ListedKey& listed) {
  std::cout << key << '\t' << printable(listed.source) << '\t' << printable(listed.spec.summary)
            << '\n';
  for (const ParamSpec& param : listed.spec.params) {
    std::cout << "    " << printable(param.name);
    if (!param.fallback.is_null()) std::cout << " = " << printable(to_string(param.fallback));
    const std::string meaning = meaning_text(param);
    std::cout << (meaning.empty() ? "" : "\t") << meaning << '\n';
  }
}

}  // namespace

int list_command(const Words& words) {
  std::vector<std::string> names;
  for (const auto& [plural, kind] : kKinds) names.emplace_back(plural);
  const std::string usage = "pergola list " + join(names, "|") + " [--plugin-path DIR]";
  Arguments arguments = parse_arguments(words, usage, Options::kPlugins);
  if (arguments.help) return 0;
  const std::string wanted = take_positional(arguments, "what to list", usage);
  expect_no_more(arguments, usage);
  const auto found = std::find_if(std::begin(kKinds), std::end(kKinds),
                                  [&](const auto& kind) { return wanted == kind.first; });
  if (found == std::end(kKinds)) {
    throw Error(ErrorKind::kConfig, "'", wanted, "' cannot be listed", did_you_mean(wanted, names));
  }
  const PluginCatalog catalog = scan_plugins(arguments.plugin_path);
  for (const auto& [key, listed] : list_keys(catalog, found->second)) print(key, listed);
  for (const std::string& conflict : catalog.conflicts()) log::warning("[plugin] ", conflict);
  return 0;
}

}  // namespace pergola::host
