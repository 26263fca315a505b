// SPDX-License-Identifier: BSD-3-Clause
// Tables in messages. Pure; any thread.
#pragma once

#include "pergola/export.h"

#include <cstddef>
#include <string>
#include <vector>

namespace pergola {

// A line a row, each begun with a line break and two spaces, its cells in columns two spaces apart.
// Of more than `most` rows after the first, the heading, the rest is counted: "and 12 more".
//   rows: not empty, all of the same number of cells
[[nodiscard]] PERGOLA_API std::string columns(const std::vector<std::vector<std::string>>& rows,
                                              std::size_t most = 40);

}  // namespace pergola
