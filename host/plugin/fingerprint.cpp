// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/fingerprint.h"

#include "host/plugin/search_path.h"
#include "host/support/printable.h"
#include "pergola/abi.h"
#include "pergola/columns.h"
#include "pergola/error.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace pergola::host {
namespace {

constexpr char kAbsent[] = "(absent)";

const std::string* find(const Fingerprint& fingerprint, const std::string& field) {
  const auto found = std::find_if(fingerprint.begin(), fingerprint.end(),
                                  [&](const auto& entry) { return entry.first == field; });
  return found == fingerprint.end() ? nullptr : &found->second;
}

struct Row {
  std::string field, host, plugin;
};

// Every field of either side: the host's in their order, then those that only the plugin has.
std::vector<Row> compare(const Fingerprint& host, const Fingerprint& plugin) {
  std::vector<Row> rows;
  for (const auto& [field, value] : host) {
    const std::string* theirs = find(plugin, field);
    rows.push_back({field, value, theirs == nullptr ? kAbsent : *theirs});
  }
  for (const auto& [field, value] : plugin) {
    if (find(host, field) == nullptr) rows.push_back({field, kAbsent, value});
  }
  return rows;
}

std::string table_of(const std::vector<Row>& rows) {
  std::vector<std::vector<std::string>> lines = {{"field", "this host", "the plugin", "verdict"}};
  for (const Row& row : rows) {
    const char* const verdict = row.host == row.plugin ? "same" : "DIFFERS";
    lines.push_back({row.field, row.host, row.plugin, verdict});
  }
  return columns(lines).substr(1) + "\n";
}

// Where this installation's CMake package is; a build tree has none.
std::string package_folder() {
  const std::filesystem::path folder = install_prefix() / PERGOLA_PACKAGE_DIR;
  std::error_code error;
  if (std::filesystem::exists(folder, error)) return folder.string();
  return "<where Pergola is installed>/" PERGOLA_PACKAGE_DIR;
}

}  // namespace

Fingerprint parse_fingerprint(std::string_view text, const std::string& source) {
  constexpr std::string_view kEquals = " = ";
  const auto fail = [&](const std::string& problem) {
    throw Error(ErrorKind::kPlugin, "plugin ", printable(source), " has a build fingerprint that ",
                problem, "; rebuild it with pergola_add_plugin");
  };
  if (!text.empty() && text.back() == '\0') text.remove_suffix(1);
  Fingerprint fields;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const auto equals = line.find(kEquals);
    if (equals == std::string_view::npos || equals == 0) {
      fail(concat("holds the line '", printable(line), "' where 'field = value' was expected"));
    }
    std::string field = printable(line.substr(0, equals));
    if (find(fields, field) != nullptr) fail(concat("holds '", field, "' twice"));
    fields.emplace_back(std::move(field), printable(line.substr(equals + kEquals.size())));
  }
  if (fields.empty()) fail("is empty");
  return fields;
}

const Fingerprint& host_fingerprint() {
  static const Fingerprint fingerprint = parse_fingerprint(PERGOLA_FINGERPRINT, "the host");
  return fingerprint;
}

std::string fingerprint_difference(const Fingerprint& host, const Fingerprint& plugin) {
  const std::vector<Row> rows = compare(host, plugin);
  if (std::all_of(rows.begin(), rows.end(),
                  [](const Row& row) { return row.host == row.plugin; })) {
    return "";
  }
  return concat(table_of(rows),
                "rebuild it against this host's SDK, in the folder of its CMakeLists.txt: "
                "cmake -B build -DPergola_DIR=",
                package_folder(), " && cmake --build build");
}

}  // namespace pergola::host
