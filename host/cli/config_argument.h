// SPDX-License-Identifier: BSD-3-Clause
// The config that a command is about. Main thread.
#pragma once

#include "host/cli/arguments.h"
#include "host/run/plugins.h"

#include <string>

namespace pergola::host {

// Takes the file's name from the words, resolves it with the overrides among them, and sets the log
// up as the config's `training` says; --log-level wins. Throws Error{kConfig} when there is no such
// word, and what load_config() throws.
[[nodiscard]] ConfigAndPlugins load_config_argument(Arguments& arguments, const std::string& usage);

}  // namespace pergola::host
