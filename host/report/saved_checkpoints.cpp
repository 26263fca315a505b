// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/saved_checkpoints.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kNumbered = "update_";

std::optional<std::int64_t> update_of(const std::string& name) {
  if (!name.starts_with(kNumbered)) return std::nullopt;
  std::int64_t update = 0;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kNumbered.size(), end, update);
  if (error != std::errc() || stop != end) return std::nullopt;
  return update;
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
    saved.update = update_of(saved.name);
    saved.whole = fs::exists(entry.path() / "MANIFEST.json", ignored);
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
    return std::pair(each.name.starts_with(kNumbered), each.name);
  });
  return all;
}

}  // namespace pergola::host
