// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/memory_watch.h"

#include "host/device/memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

// The number behind `key` in lines of "key number", such as those of /proc/meminfo.
std::optional<std::int64_t> number_of(const fs::path& file, const std::string& key) {
  std::ifstream in(file);
  for (std::string word; in >> word;) {
    std::int64_t number = 0;
    if (word == key && in >> number) return number;
    in.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

// The only number in a file; nothing for "max".
std::optional<std::int64_t> number_in(const fs::path& file) {
  std::ifstream in(file);
  std::int64_t number = 0;
  return in >> number ? std::optional(number) : std::nullopt;
}

// What one control group leaves. Pages of files count as used there, but are given back.
std::optional<std::int64_t> left_in(const fs::path& group) {
  const std::optional<std::int64_t> limit = number_in(group / "memory.max");
  const std::optional<std::int64_t> used = number_in(group / "memory.current");
  if (!limit || !used) return std::nullopt;
  const std::int64_t files = number_of(group / "memory.stat", "inactive_file").value_or(0);
  return std::max<std::int64_t>(0, *limit - *used + files);
}

// "/a/b" of the line "0::/a/b".
fs::path own_group(const fs::path& file) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("0::/")) return line.substr(4);
  }
  return {};
}

}  // namespace

std::optional<std::int64_t> available_memory(const fs::path& root) {
  std::optional<std::int64_t> least;
  const auto take = [&least](std::optional<std::int64_t> bytes) {
    if (bytes && (!least || *bytes < *least)) least = bytes;
  };
  if (const auto kibibytes = number_of(root / "proc/meminfo", "MemAvailable:")) {
    take(*kibibytes * 1024);
  }
  const fs::path mount = root / "sys/fs/cgroup";
  for (fs::path group = own_group(root / "proc/self/cgroup");; group = group.parent_path()) {
    take(left_in(mount / group));
    if (group.empty()) return least;
  }
}

MemoryWatch::MemoryWatch() {
  std::ofstream("/proc/self/clear_refs") << 5;  // VmHWM begins anew
  before_ = process_memory();
}

std::int64_t MemoryWatch::peak() const {
  const std::int64_t kibibytes = number_of("/proc/self/status", "VmHWM:").value_or(0);
  return std::max<std::int64_t>(0, kibibytes * 1024 - before_);
}

std::optional<std::int64_t> MemoryWatch::room() const {
  const std::optional<std::int64_t> available = available_memory();
  if (!available) return std::nullopt;
  return std::max<std::int64_t>(0, *available + process_memory() - before_);
}

}  // namespace pergola::host
