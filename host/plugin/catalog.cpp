// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/catalog.h"

#include "host/support/printable.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

namespace pergola::host {
namespace {

bool offers(const PluginFile& file, std::string_view kind, std::string_view key) {
  if (!file.manifest) return false;
  const std::vector<std::string> keys = file.manifest->keys(kind);
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

using Paths = std::vector<std::filesystem::path>;

Paths plugins_in(const std::filesystem::path& folder) {
  Paths found;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (entry->path().extension() == ".so") found.push_back(entry->path());
  }
  if (error) {
    throw Error(ErrorKind::kConfig, "the plugin folder '", printable(folder.string()),
                "' cannot be listed: ", error.message(), "; leave it out or make it readable");
  }
  std::sort(found.begin(), found.end());
  return found;
}

// Each file once, by whatever names it is found. Those that are not there are kept: they are
// reported.
Paths without_doubles(const Paths& all) {
  Paths paths;
  std::vector<FileIdentity> seen;
  for (const auto& path : all) {
    const auto identity = identify(path);
    const auto is_it = [&](const FileIdentity& other) { return identity->same_file(other); };
    if (identity && std::ranges::any_of(seen, is_it)) continue;
    if (identity) seen.push_back(*identity);
    paths.push_back(path);
  }
  return paths;
}

// Most of the time goes into parsing manifests: with many files, some threads share them.
std::vector<PluginFile> inspect_all(const Paths& paths, const TrustPolicy& policy) {
  constexpr std::size_t kMostThreads = 8;
  constexpr std::size_t kFilesOfAThread = 8;  // fewer are not worth one
  std::vector<PluginFile> files(paths.size());
  std::atomic<std::size_t> next = 0;
  const auto inspect = [&] {
    for (std::size_t i = next++; i < paths.size(); i = next++) {
      files[i] = inspect_plugin(paths[i], policy);
    }
  };
  const std::size_t wanted = std::min<std::size_t>(
      {kMostThreads, std::thread::hardware_concurrency(), paths.size() / kFilesOfAThread});
  std::vector<std::jthread> threads;
  while (threads.size() + 1 < wanted) threads.emplace_back(inspect);
  inspect();
  threads.clear();  // waits for them
  return files;
}

}  // namespace

PluginCatalog::PluginCatalog(const std::vector<std::filesystem::path>& places, TrustPolicy policy)
    : places_(places), policy_(std::move(policy)) {
  Paths found;
  for (const auto& place : places) {
    std::error_code ignored;  // a place that is gone by now is reported as a file
    if (std::filesystem::is_directory(place, ignored)) {
      std::ranges::copy(plugins_in(place), std::back_inserter(found));
    } else {
      found.push_back(place);
    }
  }
  files_ = inspect_all(without_doubles(found), policy_);
}

const PluginFile* PluginCatalog::find(std::string_view kind, std::string_view key) const {
  const PluginFile* usable = nullptr;
  const PluginFile* unusable = nullptr;
  for (const PluginFile& file : files_) {
    if (!offers(file, kind, key)) continue;
    if (!file.usable()) {
      if (unusable == nullptr) unusable = &file;
      continue;
    }
    if (usable != nullptr) {
      throw Error(ErrorKind::kPlugin, kind, " '", printable(key), "' is offered by two plugins, ",
                  printable(usable->path.string()), " and ", printable(file.path.string()),
                  "; take one of them out of the plugin path");
    }
    usable = &file;
  }
  if (usable == nullptr && unusable != nullptr) throw Error(ErrorKind::kPlugin, unusable->problem);
  return usable;
}

const PluginFile& PluginCatalog::require(std::string_view kind, std::string_view key,
                                         std::string_view where,
                                         const std::vector<std::string>& also_known) const {
  if (const PluginFile* file = find(kind, key); file != nullptr) return *file;
  std::vector<std::string> known = keys(kind);
  known.insert(known.end(), also_known.begin(), also_known.end());
  throw Error(note_of_unusable().empty() ? ErrorKind::kConfig : ErrorKind::kPlugin, where,
              where.empty() ? "" : ": ", kind, " '", printable(key), "' is in no plugin",
              hint(key, known));
}

std::string PluginCatalog::hint(std::string_view name,
                                const std::vector<std::string>& known) const {
  std::string text = did_you_mean(name, known);
  if (closest(name, known).empty()) {
    std::vector<std::string> searched;
    for (const auto& place : places_) searched.push_back(printable(place.string()));
    text += concat("; plugins were looked for in ", searched.empty() ? "no folder" : join(searched),
                   "; name the folder that has it with --plugin-path");
  }
  return text + note_of_unusable();
}

std::string PluginCatalog::note_of_unusable() const {
  constexpr std::size_t kMost = 3;
  std::string note;
  std::size_t count = 0;
  for (const PluginFile& file : files_) {
    if (file.usable()) continue;
    if (++count > kMost) continue;
    // The first line: the table of a foreign build is for who asks for that plugin.
    std::string line = file.problem.substr(0, file.problem.find('\n'));
    if (line.back() == ':') line.pop_back();
    note += "\n  not usable: " + line;
  }
  if (count > kMost) note += concat("\n  and ", count - kMost, " more");
  return note;
}

std::vector<std::string> PluginCatalog::conflicts() const {
  std::vector<std::string> all;
  for (const std::string& kind : registered_kinds()) {
    for (const std::string& key : keys(kind)) {
      try {
        static_cast<void>(find(kind, key));
      } catch (const Error& error) {
        all.emplace_back(error.what());
      }
    }
  }
  for (auto one = files_.begin(); one != files_.end(); ++one) {
    if (!one->usable()) continue;
    for (auto other = std::next(one); other != files_.end(); ++other) {
      if (!other->usable()) continue;
      const std::string clash = clash_of(one->symbols, other->symbols);
      if (clash.empty()) continue;
      all.push_back(concat("plugins ", printable(one->path.string()), " and ",
                           printable(other->path.string()), " cannot be loaded together: ", clash));
    }
  }
  return all;
}

std::vector<std::string> PluginCatalog::keys(std::string_view kind) const {
  std::set<std::string> all;
  for (const PluginFile& file : files_) {
    if (!file.usable()) continue;
    const std::vector<std::string> keys = file.manifest->keys(kind);
    all.insert(keys.begin(), keys.end());
  }
  return {all.begin(), all.end()};
}

}  // namespace pergola::host
