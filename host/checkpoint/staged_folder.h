// SPDX-License-Identifier: BSD-3-Clause
// A folder that is filled beside its final place and then put there in one step, so that at every
// instant, a crash or a power cut included, either the old folder or the new one is whole.
// One process writes a folder; not thread-safe.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace pergola::host {

// For the fault tests, which stop a save after each of its steps. Empty in production.
struct SaveHooks {
  std::function<void(std::string_view step)> on_step;
  bool allow_exchange = true;  // false: as on a file system that cannot exchange two folders

  void reached(std::string_view step) const {
    if (on_step) on_step(step);
  }
};

// Where the content of `folder` is: there, or, when a crash came between the two renames of a file
// system that cannot exchange folders, in the copy beside it that was moved out of the way; nothing
// when there is neither. Throws Error{kCheckpoint} when the system does not say, such as for a
// folder that may not be looked into: that it is absent is known only when it is looked for.
[[nodiscard]] std::optional<std::filesystem::path> find_folder(const std::filesystem::path& folder);

// The same, or `folder` when there is neither.
[[nodiscard]] std::filesystem::path present_folder(const std::filesystem::path& folder);

// Puts right what interrupted saves of the folders `parent`/<name>, for which owns(name), left
// beside them: a copy that is the only one of its folder goes back to its place, everything else is
// removed, once it is sure on the disk that it is not needed. What a process that is still alive
// may be writing stays. Failing is a warning in the log only.
void recover_folders(const std::filesystem::path& parent,
                     const std::function<bool(const std::string& name)>& owns);

// Moves `folder` out of sight in one step and then deletes it, so that no half of it is ever seen.
// Throws Error{kCheckpoint} when it cannot be moved.
void discard_folder(const std::filesystem::path& folder);

class StagedFolder {
 public:
  // Makes the folder ".tmp-<name>-<pid>" beside `target`, and the folders above it.
  // Throws Error{kCheckpoint} when it cannot, or when `target` is a file.
  StagedFolder(const std::filesystem::path& target, const SaveHooks& hooks);
  // Removes it, unless it was published.
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return staged_; }

  // Puts the folder in its place, durably, and then removes the one that was there.
  // Throws Error{kCheckpoint}, and then the one that was there is in its place.  REQUIRES: each
  // file in it was synced; called once.
  void publish();

 private:
  void replace_target();
  [[nodiscard]] bool is_own(const std::string& name) const;

  std::filesystem::path target_;
  std::filesystem::path staged_;
  const SaveHooks& hooks_;
  bool published_ = false;
};

}  // namespace pergola::host
