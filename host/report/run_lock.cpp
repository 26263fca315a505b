// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/run_lock.h"

#include "host/support/file_ops.h"
#include "host/support/files.h"
#include "pergola/error.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstdio>
#include <sstream>

namespace pergola::host {
namespace {

// "" where there is no such file, or no /proc.
std::string text_of(const std::string& path) {
  try {
    return read_file(path, ErrorKind::kUnexpected);
  } catch (const Error&) {
    return "";
  }
}

// The id of the mount that an open file was found through.
std::optional<std::uint64_t> mount_of(int fd) {
  std::istringstream lines(text_of(concat("/proc/self/fdinfo/", fd)));
  std::string key;
  std::uint64_t id = 0;
  for (std::string line; std::getline(lines, line);) {
    if (std::istringstream(line) >> key >> id && key == "mnt_id:") return id;
  }
  return std::nullopt;
}

}  // namespace

std::optional<FilePlace> mount_device(const std::string& mountinfo, std::uint64_t id) {
  std::istringstream lines(mountinfo);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);  // "36 35 98:0 /mnt1 /mnt2 rw,noatime ..."
    std::uint64_t found = 0;
    std::uint64_t parent = 0;
    char colon = 0;
    FilePlace place;
    words >> found >> parent >> place.major >> colon >> place.minor;
    if (words && found == id && colon == ':') return place;
  }
  return std::nullopt;
}

bool names_lock(std::string_view locks, const FilePlace& place) {
  char text[64];  // "1: FLOCK  ADVISORY  WRITE 4711 fe:00:10955063 0 EOF"
  std::snprintf(text, sizeof(text), " %02x:%02x:%llu ", place.major, place.minor,
                static_cast<unsigned long long>(place.inode));
  for (std::size_t at = locks.find(text); at != std::string_view::npos;
       at = locks.find(text, at + 1)) {
    const std::size_t begin = locks.rfind('\n', at) + 1;  // npos + 1 is 0
    if (locks.find("FLOCK", begin) < at) return true;
  }
  return false;
}

bool is_locked(const std::filesystem::path& file) {
  const UniqueFd fd(open_path(file, O_PATH));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) return false;
  FilePlace place{major(info.st_dev), minor(info.st_dev), 0};
  if (const auto id = mount_of(fd.get())) {
    place = mount_device(text_of("/proc/self/mountinfo"), *id).value_or(place);
  }
  place.inode = info.st_ino;
  return names_lock(text_of("/proc/locks"), place);
}

}  // namespace pergola::host
