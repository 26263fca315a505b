// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/columns.h"

#include "pergola/error.h"

#include <algorithm>
#include <span>

namespace pergola {

std::string columns(const std::vector<std::vector<std::string>>& rows, std::size_t most) {
  const std::span shown(rows.data(), std::min(rows.size(), most + 1));
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const auto& row : shown) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string table;
  for (const auto& row : shown) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += concat("  ", row[i], std::string(widths[i] - row[i].size(), ' '));
    }
    line.erase(line.find_last_not_of(' ') + 1);
    table += "\n" + line;
  }
  if (rows.size() > shown.size()) table += concat("\n  and ", rows.size() - shown.size(), " more");
  return table;
}

}  // namespace pergola
