// SPDX-License-Identifier: BSD-3-Clause
// The checkpoints of one run: <run>/checkpoints/{last,best,update_00001000}. `last` is written;
// `best` and `update_*` are hard links to the files of the `last` that was saved before them, so
// that a save costs one copy however many names it gets. Borrowed by one process at a time; not
// thread-safe.
#pragma once

#include "host/checkpoint/checkpoint.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {

struct ResumePoint {
  std::filesystem::path folder;
  CheckpointContent content;
  // Why each newer checkpoint was passed over, newest first; these are in the log already.
  std::vector<std::string> failures;
};

// The checkpoint that is meant by `path`: a run's folder stands for its best, or last; anything
// else for itself. Throws Error{kCheckpoint} as find_weights does.
[[nodiscard]] std::filesystem::path checkpoint_at(const std::filesystem::path& path);

class CheckpointStore {
 public:
  // Touches nothing on the disk. `max_to_keep`: how many update_* are kept; -1 keeps all, 0 none.
  explicit CheckpointStore(const std::filesystem::path& run_dir, std::int64_t max_to_keep = -1,
                           SaveHooks hooks = {});

  [[nodiscard]] std::filesystem::path last() const { return root_ / "last"; }
  [[nodiscard]] std::filesystem::path best() const { return root_ / "best"; }
  // update_00001000: eight digits or more.
  [[nodiscard]] std::filesystem::path update(std::int64_t number) const;
  // Those that are there, highest number first, verified or not. Throws Error{kCheckpoint} when the
  // folder is there and cannot be listed.
  [[nodiscard]] std::vector<std::pair<std::int64_t, std::filesystem::path>> updates() const;

  // What is known before a training of whether its checkpoints can be saved: throws
  // Error{kCheckpoint} when `checkpoints` cannot be made or written, or when what is at `last` or
  // `best` cannot be replaced. Leaves nothing.
  void check_writable() const;
  // Each throws Error{kCheckpoint} as save_checkpoint does, and then what was there is as before.
  void save_last(const CheckpointContent& content) const;
  // REQUIRES of both: save_last was called for the state that is to be kept.
  void save_best() const;
  // Then removes update_* beyond max_to_keep, lowest numbers first, never this one.
  void save_update(std::int64_t number) const;

  // The newest checkpoint that is whole: `last`, then update_* from the highest number down.
  // Nothing when there is no checkpoint, `best` included. Throws Error{kCheckpoint} when there are
  // some and none of these is whole, and when the system does not say whether there are any: a run
  // that is to be resumed never starts anew by mistake.
  [[nodiscard]] std::optional<ResumePoint> find_resume() const;

  // The weights that an evaluation takes: `best`, or `last`, verified or not; nothing when there is
  // neither. Throws Error{kCheckpoint} as find_resume does.
  [[nodiscard]] std::optional<std::filesystem::path> find_weights() const;

 private:
  [[nodiscard]] std::string next_step_without_resume(
      const std::vector<std::filesystem::path>& candidates) const;
  void link_last(const std::filesystem::path& target) const;
  void retain(std::int64_t newest) const;

  std::filesystem::path root_;
  std::int64_t max_to_keep_;
  SaveHooks hooks_;
};

}  // namespace pergola::host
