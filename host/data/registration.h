// SPDX-License-Identifier: BSD-3-Clause
// The data sets and processors that the host brings along, as an explicit table: the host's own
// classes are published like a plugin's, but announced by nobody.
#pragma once

#include "pergola/registry.h"

#include <vector>

namespace pergola::host {

// For Registry::publish. Lives as long as the program; thread-safe.
[[nodiscard]] const std::vector<Announcement>& builtin_data();

}  // namespace pergola::host
