// SPDX-License-Identifier: BSD-3-Clause
// Texts of a config that must be more than text. No state; thread-safe.
#pragma once

#include "pergola/config.h"

#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

// Throws Error{kConfig} for an empty one.
[[nodiscard]] std::string non_empty(const Config& config, std::string_view key);

// A path that the run's config.toml can hold and that the system takes whole, not up to a NUL.
// Throws Error{kConfig} for others.
[[nodiscard]] std::string writable_path(const Config& config, std::string_view key);

// `dataset` of a whole config: a name, several joined by commas as in MMF, or an array of names.
// At least one, each once; throws Error{kConfig} otherwise.  REQUIRES: it is a string or an array.
[[nodiscard]] std::vector<std::string> dataset_names(const Config& root);

}  // namespace pergola::host
