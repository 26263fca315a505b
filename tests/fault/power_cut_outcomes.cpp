// SPDX-License-Identifier: BSD-3-Clause
// What a disk may hold after a cut.
#include "fault/power_cut_disk.h"

#include <fstream>
#include <stdexcept>
#include <utility>

namespace pergola::host::fault_test {

namespace fs = std::filesystem;

void materialise(const Outcome& outcome, const fs::path& folder) {
  fs::remove_all(folder);
  fs::create_directories(folder);
  for (const auto& [name, content] : outcome) {
    if (name.back() == '/') {
      fs::create_directories(folder / name);
    } else {
      fs::create_directories((folder / name).parent_path());
      std::ofstream(folder / name, std::ios::binary) << content;
    }
  }
}

// Which changes are on the disk when the names in `folders` are: those that touch them and, since
// no file system writes a later change without the earlier ones of the same folder, what led to
// these.
std::vector<bool> PowerCutDisk::made_sure_by(Folders folders) const {
  std::vector<bool> sure(changes_.size());
  for (std::size_t i = changes_.size(); i-- > 0;) {
    for (const Entry& entry : changes_[i]) {
      if (folders.contains(entry.folder.get())) sure[i] = true;
    }
    if (!sure[i]) continue;
    for (const Entry& entry : changes_[i]) folders.insert(entry.folder.get());
  }
  return sure;
}

// The folders with names that are not sure, as far as a cut can leave them in sight.
std::vector<const PowerCutDisk::Node*> PowerCutDisk::unsure_folders() const {
  Folders in_sight;
  std::vector<const Node*> todo = {root_.get()};
  while (!todo.empty()) {
    const Node* node = todo.back();
    todo.pop_back();
    if (!in_sight.insert(node).second) continue;
    for (const Names& names : {node->names_now, node->names_synced}) {
      for (const auto& [name, child] : names) todo.push_back(child.get());
    }
  }
  Folders unsure;
  for (const Change& change : changes_) {
    for (const Entry& entry : change) {
      if (in_sight.contains(entry.folder.get())) unsure.insert(entry.folder.get());
    }
  }
  return {unsure.begin(), unsure.end()};
}

// The names in all folders, if those in `written` made it to the disk.
std::map<const PowerCutDisk::Node*, PowerCutDisk::Names> PowerCutDisk::names_if(
    const Folders& written) const {
  std::map<const Node*, Names> result;
  const std::vector<bool> sure = made_sure_by(written);
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    if (!sure[i]) continue;
    for (const auto& [folder, name, node] : changes_[i]) {
      Names& names = result.try_emplace(folder.get(), folder->names_synced).first->second;
      names.erase(name);
      if (node) names[name] = node;
    }
  }
  return result;
}

std::string PowerCutDisk::content_if(const Node& file, Unsynced bytes) {
  const std::size_t old_size = file.synced.size();
  if (bytes == Unsynced::kAll || file.now == file.synced) return file.now;
  if (bytes == Unsynced::kNone || file.now.size() <= old_size) return file.synced;
  const std::size_t added = file.now.size() - old_size;
  const std::size_t half = added / 2;
  if (bytes == Unsynced::kFirstHalf) return file.now.substr(0, old_size + half);
  const std::size_t zeros = bytes == Unsynced::kHole ? half : added;
  return std::string(file.now).replace(old_size, zeros, zeros, '\0');
}

Outcome PowerCutDisk::outcome_if(const std::map<const Node*, Names>& changed,
                                 Unsynced bytes) const {
  Outcome outcome;
  std::vector<std::pair<std::string, const Node*>> todo = {{"", root_.get()}};
  while (!todo.empty()) {
    const auto [path, node] = todo.back();
    todo.pop_back();
    const auto it = changed.find(node);
    for (const auto& [name, child] : it == changed.end() ? node->names_synced : it->second) {
      if (child->is_folder) {
        outcome[path + name + "/"] = "";
        todo.emplace_back(path + name + "/", child.get());
      } else {
        outcome[path + name] = content_if(*child, bytes);
      }
    }
  }
  return outcome;
}

std::set<Outcome> PowerCutDisk::outcomes() const {
  const auto unsure = unsure_folders();
  constexpr std::size_t kMostUnsure = 8;  // 256 subsets
  if (unsure.size() > kMostUnsure) throw std::logic_error("too many folders are not synced");
  std::set<Outcome> distinct;
  for (unsigned subset = 0; subset < 1U << unsure.size(); ++subset) {
    Folders written;
    for (std::size_t i = 0; i < unsure.size(); ++i) {
      if ((subset >> i & 1U) != 0) written.insert(unsure[i]);
    }
    const auto changed = names_if(written);
    for (const auto bytes : {Unsynced::kAll, Unsynced::kNone, Unsynced::kFirstHalf, Unsynced::kHole,
                             Unsynced::kZeros}) {
      distinct.insert(outcome_if(changed, bytes));
    }
  }
  return distinct;
}

}  // namespace pergola::host::fault_test
