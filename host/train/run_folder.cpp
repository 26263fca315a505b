// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/run_folder.h"

#include <sys/file.h>

#include <fcntl.h>

#include <cerrno>

#include "pergola/error.h"

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

// All that a run writes.
constexpr const char* kContent[] = {"config.toml",  "log.txt",     "metrics.jsonl", "summary.json",
                                    "checkpoints",  "predictions", "tensorboard"};

bool holds_run(const fs::path& folder) {
  std::error_code ignored;
  for (const char* name : kContent) {
    if (fs::exists(folder / name, ignored)) return true;
  }
  return false;
}

UniqueFd take(const fs::path& folder) {
  const fs::path path = folder / ".lock";
  UniqueFd lock(open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666));
  if (!lock) throw file_error(ErrorKind::kCheckpoint, "write", path, errno);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    throw Error(ErrorKind::kCheckpoint, "the run folder ", folder.string(),
                " is in use by another pergola process; wait for it, or choose another folder with --run-dir");
  }
  return lock;
}

}  // namespace

RunFolder::RunFolder(fs::path folder, ExistingRun existing) : folder_(std::move(folder)) {
  make_directories(folder_);
  lock_ = take(folder_);
  if (!holds_run(folder_) || existing == ExistingRun::kResume) return;
  if (existing == ExistingRun::kRefuse) {
    throw Error(ErrorKind::kCheckpoint, "the folder ", folder_.string(),
                " already holds a run; continue it with --resume, start again with --overwrite, or "
                "choose another folder with --run-dir");
  }
  for (const char* name : kContent) {
    std::error_code failed;
    fs::remove_all(folder_ / name, failed);
    if (failed) throw file_error(ErrorKind::kCheckpoint, "remove", folder_ / name, failed.value());
  }
}

fs::path RunFolder::predictions(const std::string& dataset, const std::string& split) const {
  return folder_ / "predictions" / (dataset + "_" + split + ".json");
}

}  // namespace pergola::host
