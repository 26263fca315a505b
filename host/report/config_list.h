// SPDX-License-Identifier: BSD-3-Clause
// A run's config.toml as a list, with what its comments say of where each value came from. A plain
// value; thread-safe.
#pragma once

#include "pergola/value.h"

#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

struct ConfigEntry {
  std::string key;     // "training.batch_size"
  std::string value;   // as TOML
  std::string origin;  // "runs/x.toml:4:9", "command line", "defaults"; "" when there is no comment
};

struct ConfigList {
  Value root;  // null when the text is not TOML
  std::vector<ConfigEntry> entries;

  [[nodiscard]] bool has_origins() const;
  // The text of a key; "" when it is not there or is none.
  [[nodiscard]] std::string text(std::string_view key) const;
  // `dataset`: a name, several joined by commas, or an array of names.
  [[nodiscard]] std::vector<std::string> datasets() const;
};

// `show` of a resolved config writes `key = value  # origin`; other comments are taken for origins
// too. Throws Error{kConfig} for what is not TOML.
[[nodiscard]] ConfigList parse_config_list(const std::string& text);

}  // namespace pergola::host
