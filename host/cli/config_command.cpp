// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/arguments.h"
#include "host/cli/commands.h"
#include "host/config/run_config.h"
#include "host/run/plugins.h"
#include "host/support/printable.h"
#include "pergola/error.h"

#include <iostream>

namespace pergola::host {

int config_command(const Words& words) {
  const std::string usage = "pergola config show CONFIG [key=value ...] [options]";
  Arguments arguments = parse_arguments(words, usage, Options::kConfig);
  if (arguments.help) return 0;
  const std::string verb = take_positional(arguments, "the word `show`", usage);
  if (verb != "show") throw Error(ErrorKind::kConfig, "'", verb, "' is not known; usage: ", usage);
  const std::string file = take_config(arguments, usage);
  const ConfigAndPlugins loaded = load_config(file, arguments.overrides, arguments.plugin_path);
  // What it refuses, a run would refuse.
  RunConfig::parse(loaded.config.root).warn_of_no_effect(loaded.config.root);
  std::cout << printable_lines(loaded.config.show());  // a file's name may be anything
  return 0;
}

}  // namespace pergola::host
