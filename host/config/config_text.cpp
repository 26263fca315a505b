// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/config_text.h"

#include "host/support/printable.h"

#include <algorithm>

namespace pergola::host {

std::string non_empty(const Config& config, std::string_view key) {
  std::string text = config.get<std::string>(key);
  if (text.empty()) throw config.error(key, "is empty; expected a name");
  return text;
}

std::string writable_path(const Config& config, std::string_view key) {
  std::string text = non_empty(config, key);
  if (printable(text) == text) return text;
  throw config.error(key,
                     "has control characters or bytes that are not UTF-8; expected a name without");
}

std::vector<std::string> dataset_names(const Config& root) {
  const Value& value = *root.value().find("dataset");
  std::vector<std::string> names;
  if (value.is_string()) {
    std::string_view rest = value.as_string();
    for (;;) {
      const std::size_t end = std::min(rest.find(','), rest.size());
      names.emplace_back(rest.substr(0, end));
      if (end == rest.size()) break;
      rest.remove_prefix(end + 1);
    }
  } else {
    names = root.get<std::vector<std::string>>("dataset");
  }
  if (names.empty() || std::ranges::find(names, "") != names.end()) {
    throw root.error("dataset", "names no data set; expected a name, or an array of names");
  }
  for (auto name = names.begin(); name != names.end(); ++name) {
    if (std::find(names.begin(), name, *name) == name) continue;
    throw root.error("dataset", "names '" + *name + "' twice; name each data set once");
  }
  return names;
}

}  // namespace pergola::host
