// SPDX-License-Identifier: BSD-3-Clause
#include "fault/power_cut_disk.h"

#include <fcntl.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace pergola::host::fault_test {

namespace fs = std::filesystem;

PowerCutDisk::PowerCutDisk(fs::path root) : root_path_(std::move(root)), root_(scan(root_path_)) {}

PowerCutDisk::NodePtr PowerCutDisk::scan(const fs::path& path) {
  auto node = std::make_shared<Node>();
  node->is_folder = fs::is_directory(path);
  if (node->is_folder) {
    for (const auto& entry : fs::directory_iterator(path)) {
      node->names_now[entry.path().filename()] = scan(entry.path());
    }
    node->names_synced = node->names_now;
    return node;
  }
  std::ifstream in(path, std::ios::binary);
  node->now.assign(std::istreambuf_iterator<char>(in), {});
  node->synced = node->now;
  return node;
}

bool PowerCutDisk::is_inside(const char* path) const {
  const std::string relative = fs::path(path).lexically_relative(root_path_);
  return !relative.empty() && !relative.starts_with("..");
}

// As it is now: without a node when there is nothing of this name.
PowerCutDisk::Entry PowerCutDisk::find(const char* path) const {
  Entry entry{nullptr, "", root_};
  for (const fs::path& part : fs::path(path).lexically_relative(root_path_)) {
    if (part == "." || part.empty()) continue;
    if (!entry.node) throw std::logic_error(std::string("no folder of ") + path);
    const auto it = entry.node->names_now.find(part);
    const NodePtr found = it == entry.node->names_now.end() ? nullptr : it->second;
    entry = {entry.node, part, found};
  }
  return entry;
}

void PowerCutDisk::apply(Change change) {
  for (const auto& [folder, name, node] : change) {
    if (node) {
      folder->names_now[name] = node;
    } else {
      folder->names_now.erase(name);
    }
  }
  changes_.push_back(std::move(change));
}

int PowerCutDisk::open(const char* path, int flags, mode_t mode) {
  if (!is_inside(path)) return FileOps::open(path, flags, mode);
  if ((flags & (O_CREAT | O_TRUNC)) != 0) on_moment();
  const int fd = FileOps::open(path, flags, mode);
  if (fd < 0) return fd;
  Entry entry = find(path);
  if (!entry.node) {
    entry.node = std::make_shared<Node>();
    apply({entry});
  }
  if ((flags & O_TRUNC) != 0) entry.node->now.clear();
  open_[fd] = {entry.node, 0, (flags & O_APPEND) != 0};
  return fd;
}

ssize_t PowerCutDisk::write(int fd, const void* bytes, std::size_t size) {
  const auto it = open_.find(fd);
  if (it == open_.end()) return FileOps::write(fd, bytes, size);
  on_moment();
  const ssize_t count = FileOps::write(fd, bytes, size);
  if (count <= 0) return count;
  auto& [node, offset, append] = it->second;
  if (append) offset = node->now.size();
  const std::string_view written(static_cast<const char*>(bytes), static_cast<std::size_t>(count));
  node->now.resize(std::max(node->now.size(), offset + written.size()));
  node->now.replace(offset, written.size(), written);
  offset += written.size();
  return count;
}

int PowerCutDisk::ftruncate(int fd, off_t size) {
  const auto it = open_.find(fd);
  if (it != open_.end()) on_moment();
  const int result = FileOps::ftruncate(fd, size);
  if (result == 0 && it != open_.end()) {
    it->second.node->now.resize(static_cast<std::size_t>(size));
  }
  return result;
}

int PowerCutDisk::fsync(int fd) {
  const auto it = open_.find(fd);
  if (it == open_.end()) return FileOps::fsync(fd);
  on_moment();
  // The real one would only take time.
  Node& node = *it->second.node;
  if (!node.is_folder) {
    node.synced = node.now;
    return 0;
  }
  const std::vector<bool> sure = made_sure_by({&node});
  std::vector<Change> unsure;
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    if (!sure[i]) {
      unsure.push_back(std::move(changes_[i]));
      continue;
    }
    for (const auto& [folder, name, target] : changes_[i]) {
      if (target) {
        folder->names_synced[name] = target;
      } else {
        folder->names_synced.erase(name);
      }
    }
  }
  changes_ = std::move(unsure);
  return 0;
}

int PowerCutDisk::close(int fd) {
  open_.erase(fd);
  return FileOps::close(fd);
}

int PowerCutDisk::rename(const char* from, const char* to) {
  if (!is_inside(from)) return FileOps::rename(from, to);
  on_moment();
  const int result = FileOps::rename(from, to);
  if (result != 0) return result;
  const Entry source = find(from);
  const Entry target = find(to);
  apply({{source.folder, source.name, nullptr}, {target.folder, target.name, source.node}});
  return result;
}

int PowerCutDisk::exchange(const char* a, const char* b) {
  if (!is_inside(a)) return FileOps::exchange(a, b);
  on_moment();
  const int result = FileOps::exchange(a, b);
  if (result != 0) return result;
  const Entry first = find(a);
  const Entry second = find(b);
  apply({{first.folder, first.name, second.node}, {second.folder, second.name, first.node}});
  return result;
}

int PowerCutDisk::link(const char* from, const char* to) {
  if (!is_inside(to)) return FileOps::link(from, to);
  on_moment();
  const int result = FileOps::link(from, to);
  if (result != 0) return result;
  const Entry target = find(to);
  apply({{target.folder, target.name, find(from).node}});
  return result;
}

int PowerCutDisk::mkdir(const char* path, mode_t mode) {
  if (!is_inside(path)) return FileOps::mkdir(path, mode);
  on_moment();
  const int result = FileOps::mkdir(path, mode);
  if (result != 0) return result;
  Entry entry = find(path);
  entry.node = std::make_shared<Node>();
  entry.node->is_folder = true;
  apply({entry});
  return result;
}

int PowerCutDisk::remove_name(const char* path, int result) {
  if (result != 0 || !is_inside(path)) return result;
  const Entry entry = find(path);
  apply({{entry.folder, entry.name, nullptr}});
  return result;
}

int PowerCutDisk::unlink(const char* path) {
  if (is_inside(path)) on_moment();
  return remove_name(path, FileOps::unlink(path));
}

int PowerCutDisk::rmdir(const char* path) {
  if (is_inside(path)) on_moment();
  return remove_name(path, FileOps::rmdir(path));
}

}  // namespace pergola::host::fault_test
