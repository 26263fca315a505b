// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/saved_checkpoints.h"

#include "host/checkpoint/names.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "pergola/error.h"
#include "pergola/value.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMostManifestBytes = 1'000'000;

// The size that a manifest has of a file.
std::optional<std::uintmax_t> size_in(const Value& manifest, const std::string& name) {
  const Value* at = &manifest;
  for (const std::string& key : {std::string("files"), name, std::string("size")}) {
    if (!at->is_table()) return std::nullopt;
    const auto found = at->as_table().find(key);
    if (found == at->as_table().end()) return std::nullopt;
    at = &found->second;
  }
  if (at->type() != Value::Type::kInteger || at->as_integer() < 0) return std::nullopt;
  return static_cast<std::uintmax_t>(at->as_integer());
}

std::string compare(const fs::path& folder, const Value& manifest) {
  for (const char* name : {kModelFile, kTrainerFile, kStateFile}) {
    const std::optional<std::uintmax_t> expected = size_in(manifest, name);
    if (!expected) return concat("damaged: its ", kManifestFile, " has no size of ", name);
    std::error_code error;
    const std::uintmax_t found = fs::file_size(folder / name, error);
    if (error) return concat("damaged: it has no ", name);
    if (found == *expected) continue;
    return concat("damaged: ", name, " has ", found, " bytes, expected ", *expected);
  }
  return "";
}

std::string problem_at(const fs::path& folder) {
  std::error_code ignored;
  const fs::path manifest = folder / kManifestFile;
  if (!fs::exists(manifest, ignored)) return concat("not finished: it has no ", kManifestFile);
  try {
    return compare(folder,
                   from_json(read_file(manifest, ErrorKind::kCheckpoint, kMostManifestBytes),
                             manifest.string()));
  } catch (const Error&) {
    return concat("damaged: its ", kManifestFile, " cannot be read");
  }
}

// A run that goes on puts another folder in this one's place at any moment, perhaps between two
// looks; it does not do so again at once.
std::string problem_of(const fs::path& folder) {
  const std::string problem = problem_at(folder);
  return problem.empty() ? problem : problem_at(folder);
}

// Hands each entry of the folder to `use`; one that cannot be read has none.
template <class Use>
void each_entry(const fs::path& folder, const Use& use) {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    use(*it);
  }
}

}  // namespace

SavedCheckpoints list_checkpoints(const fs::path& folder) {
  SavedCheckpoints all;
  std::set<std::pair<dev_t, ino_t>> counted;
  each_entry(folder, [&](const fs::directory_entry& entry) {
    std::error_code ignored;
    SavedCheckpoint saved;
    saved.name = entry.path().filename().string();
    if (saved.name.starts_with('.') || !entry.is_directory(ignored)) return;
    saved.update = number_after(kUpdatePrefix, saved.name);
    saved.problem = problem_of(entry.path());
    if (!saved.problem.empty() && !fs::exists(entry.path(), ignored)) return;  // just removed
    each_entry(entry.path(), [&](const fs::directory_entry& file) {
      struct stat info {};
      if (::stat(file.path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return;
      const auto bytes = static_cast<std::uintmax_t>(info.st_size);
      saved.bytes += bytes;
      if (counted.emplace(info.st_dev, info.st_ino).second) all.bytes += bytes;
    });
    all.list.push_back(std::move(saved));
  });
  std::ranges::sort(all.list, {}, [](const SavedCheckpoint& each) {
    return std::pair(each.name.starts_with(kUpdatePrefix), each.name);
  });
  return all;
}

}  // namespace pergola::host
