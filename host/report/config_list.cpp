// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/config_list.h"

#include "host/config/toml.h"
#include "pergola/error.h"

#include <algorithm>
#include <charconv>

namespace pergola::host {
namespace {

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

// What follows the `#` that is in no string.
std::string_view comment_of(std::string_view line) {
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote == '"' && c == '\\')
      ++i;
    else if (quote != 0)
      quote = c == quote ? '\0' : quote;
    else if (c == '"' || c == '\'')
      quote = c;
    else if (c == '#')
      return trimmed(line.substr(i + 1));
  }
  return {};
}

// Of "config.toml:12:5", the 12; 0 when there is none.
std::size_t line_number(const std::string& place) {
  const std::size_t column = place.rfind(':');
  if (column == std::string::npos || column == 0) return 0;
  const std::size_t line = place.rfind(':', column - 1);
  if (line == std::string::npos) return 0;
  std::size_t number = 0;
  std::from_chars(place.data() + line + 1, place.data() + column, number);
  return number;
}

void add_entries(const Value& table, const std::string& prefix,
                 const std::vector<std::string_view>& lines, std::vector<ConfigEntry>& entries) {
  for (const auto& [key, value] : table.as_table()) {
    const std::string path = prefix + key;
    if (value.is_table() && !value.as_table().empty()) {
      add_entries(value, path + ".", lines, entries);
      continue;
    }
    const std::size_t line = line_number(value.origin());
    const bool has_line = line > 0 && line <= lines.size();
    entries.push_back(
        {path, to_string(value), has_line ? std::string(comment_of(lines[line - 1])) : ""});
  }
}

}  // namespace

bool ConfigList::has_origins() const {
  return std::ranges::any_of(entries,
                             [](const ConfigEntry& entry) { return !entry.origin.empty(); });
}

std::string ConfigList::text(std::string_view key) const {
  const Value* value = root.find(key);
  return value != nullptr && value->is_string() ? value->as_string() : "";
}

std::vector<std::string> ConfigList::datasets() const {
  std::vector<std::string> names;
  const Value* value = root.find("dataset");
  if (value != nullptr && value->is_array()) {
    for (const Value& each : value->as_array()) {
      if (each.is_string()) names.push_back(each.as_string());
    }
    return names;
  }
  const std::string joined = text("dataset");
  std::string_view rest = joined;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    const std::string_view name = trimmed(rest.substr(0, comma));
    if (!name.empty()) names.emplace_back(name);
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
  }
  return names;
}

ConfigList parse_config_list(const std::string& text) {
  ConfigList list;
  list.root = parse_toml(text, "config.toml");
  add_entries(list.root, "", lines_of(text), list.entries);
  return list;
}

}  // namespace pergola::host
