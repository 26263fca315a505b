// SPDX-License-Identifier: BSD-3-Clause
// The checkpoints of one run: <run>/checkpoints/{last,best,best_2,update_00001000}. `last` is
// written; `best`, the next best ones and `update_*` are hard links to the files of the `last` that
// was saved before them, so that a save costs one copy however many names it gets. Borrowed by one
// process at a time; one thread at a time.
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

// Is it a run's folder, and no checkpoint's?
[[nodiscard]] bool is_run_folder(const std::filesystem::path& path);

// The checkpoint that is meant by `path`: a run's folder stands for its best, or last; anything
// else for itself. Throws Error{kCheckpoint} as find_weights does.
[[nodiscard]] std::filesystem::path checkpoint_at(const std::filesystem::path& path);

// Which update_* are kept.
struct Retention {
  std::int64_t max_to_keep = -1;  // the newest so many; -1: all, 0: none
  std::int64_t keep_every = 0;    // and beside them each whose number is a multiple; 0: none
};

class CheckpointStore {
 public:
  // Touches nothing on the disk.
  explicit CheckpointStore(const std::filesystem::path& run_dir, std::int64_t max_to_keep = -1,
                           SaveHooks hooks = {})
      : CheckpointStore(run_dir, Retention{max_to_keep}, std::move(hooks)) {}
  CheckpointStore(const std::filesystem::path& run_dir, Retention retention, SaveHooks hooks = {});

  // The folder that they are in.
  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  [[nodiscard]] std::filesystem::path last() const { return root_ / "last"; }
  // best, best_2, best_3, ...  REQUIRES: rank >= 1.
  [[nodiscard]] std::filesystem::path best(std::int64_t rank = 1) const;
  // update_00001000: eight digits or more.
  [[nodiscard]] std::filesystem::path update(std::int64_t number) const;
  // Those that are there, highest number first, verified or not. Throws Error{kCheckpoint} when the
  // folder is there and cannot be listed.
  [[nodiscard]] std::vector<std::pair<std::int64_t, std::filesystem::path>> updates() const;
  // The names of all that are there, verified or not, sorted. Throws likewise.
  [[nodiscard]] std::vector<std::string> names() const;
  // The highest rank of a best one that is there; 0: there is none. Throws likewise.
  [[nodiscard]] std::int64_t lowest_best() const;

  // What is known before a training of whether its checkpoints can be saved: throws
  // Error{kCheckpoint} when `checkpoints` cannot be made or written, or when what is at `last` or
  // `best` cannot be replaced. Leaves nothing, also nothing of saves that were killed.
  void check_writable() const;
  // Each throws Error{kCheckpoint} as save_checkpoint does, and then what was there is as before.
  void save_last(const CheckpointContent& content) const;
  // REQUIRES of what follows: save_last was called for the state that is to be kept.
  void save_best() const { arrange_best({kFromLast}); }
  // Makes best, best_2, ... hold what `sources` says, in this order: the rank at which a checkpoint
  // is now, or kFromLast. Those of lower ranks are removed. At every instant each name holds a
  // whole checkpoint, `best` is there if it was, and so is each one that is to stay.
  // REQUIRES: ranks that are now there, each higher than the one before it.
  void arrange_best(const std::vector<std::int64_t>& sources) const;
  static constexpr std::int64_t kFromLast = 0;
  // Unless it is not one to be kept. Then removes update_* that are not kept beside this one,
  // lowest numbers first.
  void save_update(std::int64_t number) const;
  // The same for a save_update that a killed process may have left out, or done by half, after it
  // saved `last`. True: the checkpoint was missing, and now it is there.
  bool complete_update(std::int64_t number) const;

  // For a run that goes on from `folder`, one of its own of that update, and not from the newest:
  // makes `last` of it, and removes update_* of later updates, of which that run knows nothing.
  void resume_at(const std::filesystem::path& folder, std::int64_t number) const;

  // The newest checkpoint that is whole: `last`, then update_* from the highest number down.
  // Nothing when there is no checkpoint, `best` included. Throws Error{kCheckpoint} when there are
  // some and none of these is whole, and when the system does not say whether there are any: a run
  // that is to be resumed never starts anew by mistake. `advice` ends the message of the first two;
  // without one it is that for a run that is resumed in its own folder.
  [[nodiscard]] std::optional<ResumePoint> find_resume(const std::string& advice = "") const;

  // The weights that an evaluation takes: `best`, or `last`, verified or not; nothing when there is
  // neither. Throws Error{kCheckpoint} as find_resume does.
  [[nodiscard]] std::optional<std::filesystem::path> find_weights() const;

 private:
  void tidy() const;
  [[nodiscard]] std::string next_step_without_resume(
      const std::vector<std::filesystem::path>& candidates) const;
  void link(const std::filesystem::path& from, const std::filesystem::path& target) const;
  void retain(std::int64_t newest) const;
  [[nodiscard]] bool stays(std::int64_t number) const;

  std::filesystem::path root_;
  Retention retention_;
  SaveHooks hooks_;
};

}  // namespace pergola::host
