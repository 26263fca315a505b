// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/search_path.h"

#include "host/support/printable.h"
#include "pergola/error.h"

#include <cstdlib>
#include <string_view>
#include <system_error>

namespace pergola::host {
namespace {

void append(std::vector<std::filesystem::path>& places, const std::string& place,
            const char* source) {
  if (place.empty()) return;
  std::error_code error;
  if (!std::filesystem::exists(place, error)) {
    throw Error(ErrorKind::kConfig, "the plugin folder '", printable(place), "' of ", source,
                " cannot be used: ", error ? error.message() : "it does not exist",
                "; name a folder with plugins or a plugin's .so file");
  }
  places.emplace_back(place);
}

}  // namespace

std::filesystem::path install_prefix() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::filesystem::path() : program.parent_path().parent_path();
}

std::filesystem::path default_plugin_folder() { return install_prefix() / "lib/pergola/plugins"; }

std::string environment_plugin_path() {
  const char* value = ::secure_getenv("PERGOLA_PLUGIN_PATH");
  return value == nullptr ? "" : value;
}

std::vector<std::filesystem::path> plugin_search_path(const SearchPathSources& sources) {
  std::vector<std::filesystem::path> places;
  for (const std::string& place : sources.options) append(places, place, "--plugin-path");
  std::string_view rest = sources.environment;
  while (!rest.empty()) {
    const std::string_view place = rest.substr(0, rest.find(':'));
    append(places, std::string(place), "PERGOLA_PLUGIN_PATH");
    rest.remove_prefix(std::min(place.size() + 1, rest.size()));
  }
  for (const std::string& place : sources.config) append(places, place, "plugins.path");
  std::error_code error;
  if (std::filesystem::exists(sources.default_folder, error)) {
    places.push_back(sources.default_folder);
  }
  return places;
}

}  // namespace pergola::host
