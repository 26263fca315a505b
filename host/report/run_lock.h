// SPDX-License-Identifier: BSD-3-Clause
// Whether a process holds the lock (flock) of a file, as /proc says it: to try the lock would be to
// take it, and a run that starts at this moment would be refused its folder. Processes of other
// machines and containers are not seen. No state; thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace pergola::host {

[[nodiscard]] bool is_locked(const std::filesystem::path& file);

// A file as the kernel knows it. Its device is that of the file system, which is not what stat()
// says on overlayfs and btrfs.
struct FilePlace {
  unsigned major = 0;
  unsigned minor = 0;
  std::uint64_t inode = 0;
};

// The device of the mount `id` in the text of /proc/self/mountinfo; nothing when it is not there.
[[nodiscard]] std::optional<FilePlace> mount_device(const std::string& mountinfo, std::uint64_t id);
// Is a lock of flock() for this file in the text of /proc/locks?
[[nodiscard]] bool names_lock(std::string_view locks, const FilePlace& place);

}  // namespace pergola::host
