// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/run_folder.h"

#include "pergola/error.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <system_error>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

UniqueFd take(const fs::path& folder) {
  const fs::path path = folder / ".lock";
  UniqueFd lock(open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666));
  if (!lock) throw file_error(ErrorKind::kCheckpoint, "write", path, errno);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    throw Error(ErrorKind::kCheckpoint, "the run folder ", folder.string(),
                " is in use by another pergola process; wait for it, or choose another folder with "
                "--run-dir");
  }
  return lock;
}

// What --overwrite removes: all that a run writes but log.txt and config.toml.
constexpr const char* kOfARun[] = {"metrics.jsonl", "summary.json", "checkpoints", "predictions"};

// What .lock holds in a folder that was empty of all these when a run took it. Anybody's folder may
// hold `checkpoints` and a config.toml; nobody else writes this.
constexpr std::string_view kMark = "This folder is of a Pergola run.\n";

bool is_marked(const UniqueFd& lock) {
  char text[kMark.size()];
  const ssize_t count = ::pread(lock.get(), text, sizeof(text), 0);
  return count == static_cast<ssize_t>(sizeof(text)) &&
         std::string_view(text, kMark.size()) == kMark;
}

// Something that a run would remove or replace; empty when there is nothing.
fs::path something_of_a_run(const fs::path& folder) {
  std::error_code ignored;
  for (const char* name : kOfARun) {
    if (fs::exists(folder / name, ignored)) return folder / name;
  }
  for (const char* name : {"config.toml", "log.txt"}) {
    if (fs::exists(folder / name, ignored)) return folder / name;
  }
  return {};
}

}  // namespace

RunFolder::RunFolder(fs::path folder, ExistingRun existing) : folder_(std::move(folder)) {
  make_directories(folder_);
  lock_ = take(folder_);
  if (is_marked(lock_)) {
    if (existing == ExistingRun::kRefuse && holds_run()) {
      throw Error(ErrorKind::kCheckpoint, "the folder ", folder_.string(),
                  " already holds a run; continue it with --resume, start again with --overwrite, "
                  "or choose another folder with --run-dir");
    }
    return;
  }
  const fs::path theirs = something_of_a_run(folder_);
  if (theirs.empty()) {
    write_all(lock_.get(), std::string(kMark), folder_ / ".lock");
    return;
  }
  if (existing == ExistingRun::kResume && holds_run()) return;
  throw Error(ErrorKind::kCheckpoint, "a run here would remove or replace ", theirs.string(),
              ", but the folder's .lock does not say that it is a run's, so it is somebody else's; "
              "choose another folder with --run-dir, or remove it yourself");
}

bool RunFolder::holds_run() const {
  std::error_code ignored;
  return fs::exists(folder_ / "metrics.jsonl", ignored) ||
         fs::exists(folder_ / "checkpoints", ignored);
}

void RunFolder::clear() const {
  for (const char* name : kOfARun) {
    std::error_code failed;
    fs::remove_all(folder_ / name, failed);
    if (failed) throw file_error(ErrorKind::kCheckpoint, "remove", folder_ / name, failed.value());
  }
}

fs::path RunFolder::predictions(const std::string& dataset, const std::string& split) const {
  return folder_ / "predictions" / (dataset + "_" + split + ".json");
}

}  // namespace pergola::host
