// SPDX-License-Identifier: BSD-3-Clause
// Config files that include others. No state; thread-safe.
#pragma once

#include "pergola/value.h"

#include <filesystem>

namespace pergola::host {

// The file with what it includes: `include = ["a.toml", ...]` at its top, paths relative to the
// file that says so. The included ones are merged in their order, and the file goes over them.
// Throws Error{kConfig} for a file that is missing or broken, with the file that includes it, and
// for files that include one another in a circle, with the circle.
[[nodiscard]] Value load_with_includes(const std::filesystem::path& file);

}  // namespace pergola::host
