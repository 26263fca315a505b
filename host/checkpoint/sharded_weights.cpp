// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/sharded_weights.h"

#include "host/support/files.h"
#include "host/support/json.h"
#include "pergola/error.h"

#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostIndexBytes = 100'000'000;

template <class... Parts>
[[noreturn]] void refuse(const fs::path& index, const Parts&... parts) {
  throw Error(ErrorKind::kCheckpoint, index.string(), parts...,
              "; download the folder again, or convert it where it is whole");
}

// A name in the folder and nothing else; it may be a link, as in Hugging Face's cache.
void check_name(const fs::path& index, const std::string& file) {
  if (!file.empty() && file != "." && file != ".." &&
      file.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos) {
    return;
  }
  refuse(index, " names the file '", file, "', which is not one of its own folder");
}

// Which names are in which file.
std::map<std::string, std::set<std::string>> read_map(const fs::path& index, Value& metadata) {
  const Value root = from_json(read_file(index, ErrorKind::kCheckpoint, kMostIndexBytes),
                               index.string(), ErrorKind::kCheckpoint);
  const Value* map = root.is_table() ? root.find("weight_map") : nullptr;
  if (map == nullptr || !map->is_table() || map->as_table().empty()) {
    refuse(index, " has no table weight_map of names and files");
  }
  std::map<std::string, std::set<std::string>> files;
  for (const auto& [name, file] : map->as_table()) {
    if (!file.is_string()) refuse(index, " has ", file.type_name(), " as the file of '", name, "'");
    check_name(index, file.as_string());
    files[file.as_string()].insert(name);
  }
  const Value* about = root.find("metadata");
  if (about != nullptr && about->is_table()) metadata = *about;
  return files;
}

// Every name of the file is in the index, and no other.
void check_names(const fs::path& index, const std::string& file, const WeightsFile& weights,
                 std::set<std::string> expected) {
  for (const WeightEntry& entry : weights.tensors) {
    if (expected.erase(entry.name) == 0) {
      refuse(index, " does not say that '", entry.name, "' is in ", file, ", where it is");
    }
  }
  if (expected.empty()) return;
  refuse(index, " says that '", *expected.begin(), "' is in ", file, ", where it is not");
}

}  // namespace

WeightsFile open_sharded(const fs::path& folder, const std::string& index,
                         const std::function<WeightsFile(const fs::path&)>& open) {
  WeightsFile all;
  std::vector<std::function<StateDict()>> loads;
  for (auto& [file, names] : read_map(folder / index, all.metadata)) {
    WeightsFile part = open(folder / file);
    check_names(folder / index, file, part, std::move(names));
    all.tensors.insert(all.tensors.end(), part.tensors.begin(), part.tensors.end());
    all.format = std::move(part.format);
    loads.push_back(std::move(part.load));
  }
  all.format = concat(loads.size(), " files, ", all.format);
  all.load = [loads = std::move(loads)] {
    StateDict state;
    for (const auto& load : loads) {
      for (auto& weight : load()) state.push_back(std::move(weight));
    }
    return state;
  };
  return all;
}

}  // namespace pergola::host
