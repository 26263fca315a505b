// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/config_argument.h"

#include "host/support/log.h"

namespace pergola::host {
namespace {

void set_up_log(const Config& training, const Arguments& arguments) {
  if (!arguments.log_level) {
    const std::string level =
        training.get_choice("logger_level", "info", {"debug", "info", "warning", "error"});
    set_log_level(parse_log_level(level));
  }
  if (training.get<bool>("should_not_log")) show_errors_only();
  if (!training.get<bool>("colored_logs")) set_log_colours(LogColours::kNo);
}

}  // namespace

ConfigAndPlugins load_config_argument(Arguments& arguments, const std::string& usage) {
  const std::string file = take_config(arguments, usage);
  ConfigAndPlugins loaded = load_config(file, arguments.overrides, arguments.plugin_path);
  set_up_log(loaded.config.root.table("training"), arguments);
  return loaded;
}

}  // namespace pergola::host
