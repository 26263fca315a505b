// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/run_folder.h"

#include "pergola/error.h"

#include <fcntl.h>
#include <sys/file.h>

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
constexpr const char* kOfARun[] = {"metrics.jsonl", "summary.json", "checkpoints", "predictions",
                                   "tensorboard"};

// Anybody's folder may hold `checkpoints`; a run's has a config.toml, which is written first.
void require_a_runs_folder(const fs::path& folder) {
  std::error_code ignored;
  if (fs::exists(folder / "config.toml", ignored)) return;
  for (const char* name : kOfARun) {
    // The summary of a run that never began stands alone.
    if (name == std::string_view("summary.json") || !fs::exists(folder / name, ignored)) continue;
    throw Error(ErrorKind::kCheckpoint, "--overwrite would remove ", (folder / name).string(),
                ", but the folder has no config.toml of a run, so it is somebody else's; choose "
                "another folder with --run-dir, or remove it yourself");
  }
}

}  // namespace

RunFolder::RunFolder(fs::path folder, ExistingRun existing) : folder_(std::move(folder)) {
  make_directories(folder_);
  lock_ = take(folder_);
  if (existing == ExistingRun::kRefuse && holds_run()) {
    throw Error(ErrorKind::kCheckpoint, "the folder ", folder_.string(),
                " already holds a run; continue it with --resume, start again with --overwrite, or "
                "choose another folder with --run-dir");
  }
  if (existing == ExistingRun::kOverwrite) require_a_runs_folder(folder_);
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
