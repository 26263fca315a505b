// SPDX-License-Identifier: BSD-3-Clause
// A table of a config as documented TOML, for who writes one. No state; thread-safe.
#pragma once

#include "host/config/config_params.h"

#include <string>

namespace pergola::host {

// "required, at least 0, at most 1", "mean or sum"; "" where there is nothing to say.
[[nodiscard]] std::string limits_text(const ParamSpec& spec);

// What is said of a key, with its limits: "share that is dropped (at least 0, at most 1)", or "".
[[nodiscard]] std::string meaning_text(const ParamSpec& spec);

// The table [path]: comments with what is known of each key, then the key with its default, or as a
// comment when it has none. parse_toml reads it back to `defaults` under `path`.
// REQUIRES: `params` has all keys of `defaults`, a table without null.
[[nodiscard]] std::string params_as_toml(const std::string& path, const Value& defaults,
                                         const ConfigParams& params);

}  // namespace pergola::host
