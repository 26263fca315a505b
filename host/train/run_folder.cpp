// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/run_folder.h"

#include "host/checkpoint/staged_folder.h"
#include "host/support/file_ops.h"
#include "host/support/log.h"
#include "pergola/error.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <ranges>
#include <string_view>
#include <system_error>
#include <thread>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

UniqueFd open_lock(const fs::path& folder) {
  const fs::path path = folder / ".lock";
  UniqueFd lock(open_path(path, O_CREAT | O_RDWR));
  if (!lock) throw file_error(ErrorKind::kCheckpoint, "write", path, errno);
  return lock;
}

UniqueFd take(const fs::path& folder) {
  constexpr auto kPause = std::chrono::milliseconds(25);
  constexpr int kMostPauses = 20;
  UniqueFd lock = open_lock(folder);
  // A process that was killed may hold it for a moment more, in a child that was just being
  // started.
  for (int pauses = 0; flock(lock.get(), LOCK_EX | LOCK_NB) != 0; ++pauses) {
    if (pauses < kMostPauses) {
      std::this_thread::sleep_for(kPause);
      continue;
    }
    throw Error(ErrorKind::kCheckpoint, "the run folder ", folder.string(),
                " is in use by another pergola process; wait for it, or choose another folder with "
                "--run-dir");
  }
  return lock;
}

// What --overwrite replaces: all that a run writes but log.txt. The checkpoints are the first to be
// set aside and the last to be put back: while they are not in their place, recover() puts back.
constexpr const char* kReplaced[] = {"checkpoints", "metrics.jsonl", "summary.json",
                                     "predictions", "config.toml",   "tensorboard",
                                     "nan_batches", "trace.json",    "report.html"};
static_assert(std::string_view(kReplaced[0]) == "checkpoints");

// In .replaced, for what the old run did not have: the new one's goes when the old one comes back.
fs::path mark_of_absence(const fs::path& replaced, const char* name) {
  return replaced / (std::string(name) + ".absent");
}

// What .lock holds in a folder that was empty of all these when a run took it. Anybody's folder may
// hold `checkpoints` and a config.toml; nobody else writes this.
constexpr std::string_view kMark = "This folder is of a Pergola run.\n";

bool is_marked(const UniqueFd& lock) {
  char text[kMark.size()];
  const ssize_t count = ::pread(lock.get(), text, sizeof(text), 0);
  return count == static_cast<ssize_t>(sizeof(text)) &&
         std::string_view(text, kMark.size()) == kMark;
}

void write_mark(const UniqueFd& lock, const fs::path& folder) {
  write_all(lock.get(), kMark, folder / ".lock");
  // Before anything of a run is there: after a power cut it would be somebody else's.
  sync_fd(lock.get(), folder / ".lock");
}

// Something that a run would remove or replace; empty when there is nothing.
fs::path something_of_a_run(const fs::path& folder) {
  std::error_code ignored;
  for (const char* name : kReplaced) {
    if (fs::exists(folder / name, ignored)) return folder / name;
  }
  return fs::exists(folder / "log.txt", ignored) ? folder / "log.txt" : fs::path();
}

bool is_there(const fs::path& path) {
  std::error_code failed;
  const bool found = fs::exists(path, failed);
  if (failed) throw file_error(ErrorKind::kCheckpoint, "look at", path, failed.value());
  return found;
}

// A link that is moved may lead to nothing, and what it led to would stay when the link is removed.
void refuse_links(const fs::path& folder) {
  for (const char* name : kReplaced) {
    const fs::path path = folder / name;
    std::error_code ignored;
    if (!fs::is_symlink(path, ignored)) continue;
    throw Error(ErrorKind::kCheckpoint, "--overwrite does not replace ", path.string(),
                ", which is a symbolic link to ", fs::read_symlink(path, ignored).string(),
                "; remove the link, and what it leads to if that is not needed, or choose another "
                "folder with --run-dir");
  }
}

void remove_or_throw(const fs::path& path) {
  if (const auto error = remove_tree(path)) {
    throw file_error(ErrorKind::kCheckpoint, "remove", path, error.value());
  }
}

void remove_or_warn(const fs::path& replaced) {
  try {
    remove_or_throw(replaced);
  } catch (const Error& error) {  // the run that counts is sound
    log::warning("[run] ", error.what(), "; it is of the run that was overwritten, and not needed");
  }
}

// In place of what is there.
void move_durably(const fs::path& from, const fs::path& to) {
  remove_or_throw(to);
  if (const auto error = rename_path(from, to)) {
    throw file_error(ErrorKind::kCheckpoint, "move", from, error.value());
  }
  sync_directory(to.parent_path());
  sync_directory(from.parent_path());
}

}  // namespace

RunFolder::RunFolder(fs::path folder, ExistingRun existing) : folder_(std::move(folder)) {
  make_directories(folder_);
  lock_ = take(folder_);
  if (is_marked(lock_)) {
    recover();
    if (existing == ExistingRun::kOverwrite) refuse_links(folder_);
    if (existing == ExistingRun::kRefuse && holds_run()) {
      throw Error(ErrorKind::kCheckpoint, "the folder ", folder_.string(),
                  " already holds a run; continue it with --resume, start again with --overwrite, "
                  "or choose another folder with --run-dir");
    }
    return;
  }
  const fs::path theirs = something_of_a_run(folder_);
  if (theirs.empty()) {
    mark();
    return;
  }
  if (existing == ExistingRun::kResume && holds_run()) return;
  throw Error(ErrorKind::kCheckpoint, "a run here would remove or replace ", theirs.string(),
              ", but the folder's .lock does not say that it is a run's, so it is somebody else's; "
              "choose another folder with --run-dir, or remove it yourself");
}

void RunFolder::mark() const {
  if (!is_marked(lock_)) write_mark(lock_, folder_);
}

void RunFolder::mark_if_empty(const fs::path& folder) {
  make_directories(folder);
  if (!something_of_a_run(folder).empty()) return;
  write_mark(open_lock(folder), folder);
}

bool RunFolder::holds_run() const {
  return is_there(metrics()) || is_there(folder_ / "checkpoints");
}

void RunFolder::set_aside(const StepHook& hook) const {
  make_directories(replaced());
  for (const char* name : kReplaced) {
    if (is_there(folder_ / name)) {
      move_durably(folder_ / name, replaced() / name);
    } else {
      static_cast<void>(create_file(mark_of_absence(replaced(), name)));
    }
    hook();
  }
  sync_directory(replaced());  // the marks of absence
}

void RunFolder::remove_replaced() const {
  std::error_code ignored;
  if (!fs::exists(replaced(), ignored)) return;
  remove_or_warn(replaced());
  log::info("[run] the run that was overwritten is removed, because the new one has a checkpoint");
}

bool RunFolder::put_back(const StepHook& hook) const {
  if (!is_there(replaced()) || find_folder(folder_ / "checkpoints/last")) return false;
  for (const char* name : std::views::reverse(kReplaced)) {
    const fs::path absent = mark_of_absence(replaced(), name);
    if (is_there(absent)) {
      remove_or_throw(folder_ / name);
      sync_directory(folder_);  // without its mark it would be taken for the old run's
      remove_or_throw(absent);
    } else if (is_there(replaced() / name)) {
      move_durably(replaced() / name, folder_ / name);
    }
    hook();
  }
  remove_or_warn(replaced());
  log::warning("[run] the run that was to be overwritten is back in ", folder_.string(),
               ", because the new one ended before it saved a checkpoint");
  return true;
}

// After a process that was killed: in the middle of writing a file, or between set_aside() and what
// follows it.
void RunFolder::recover() const {
  remove_leftovers(folder_);
  remove_leftovers(folder_ / "predictions");
  remove_leftovers(folder_ / "nan_batches");
  if (!put_back()) remove_replaced();
}

}  // namespace pergola::host
