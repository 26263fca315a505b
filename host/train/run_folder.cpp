// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/run_folder.h"

#include "pergola/error.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

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

}  // namespace

RunFolder::RunFolder(fs::path folder, ExistingRun existing) : folder_(std::move(folder)) {
  make_directories(folder_);
  lock_ = take(folder_);
  if (existing == ExistingRun::kRefuse && holds_run()) {
    throw Error(ErrorKind::kCheckpoint, "the folder ", folder_.string(),
                " already holds a run; continue it with --resume, start again with --overwrite, or "
                "choose another folder with --run-dir");
  }
}

bool RunFolder::holds_run() const {
  std::error_code ignored;
  return fs::exists(folder_ / "metrics.jsonl", ignored) ||
         fs::exists(folder_ / "checkpoints", ignored);
}

void RunFolder::clear() const {
  for (const char* name : {"config.toml", "metrics.jsonl", "summary.json", "checkpoints",
                           "predictions", "tensorboard"}) {
    std::error_code failed;
    fs::remove_all(folder_ / name, failed);
    if (failed) throw file_error(ErrorKind::kCheckpoint, "remove", folder_ / name, failed.value());
  }
}

fs::path RunFolder::predictions(const std::string& dataset, const std::string& split) const {
  return folder_ / "predictions" / (dataset + "_" + split + ".json");
}

}  // namespace pergola::host
