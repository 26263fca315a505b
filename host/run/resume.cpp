// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/resume.h"

#include "host/checkpoint/manifest.h"
#include "host/support/log.h"
#include "pergola/error.h"

#include <system_error>

namespace pergola::host {
namespace {

std::optional<ResumePoint> find_best(const CheckpointStore& store) {
  ResumePoint point;
  point.folder = store.best();
  try {
    point.content = load_checkpoint(store.best());
    return point;
  } catch (const Error& failure) {
    log::warning("[resume] `best` cannot be used, so the newest checkpoint is: ", failure.what());
    return std::nullopt;
  }
}

}  // namespace

// state.json without a manifest is one that was never finished: to be refused, not to be taken for
// weights alone.
bool is_checkpoint(const std::filesystem::path& path) {
  std::error_code ignored;
  const std::filesystem::path folder = checkpoint_at(path);
  return std::filesystem::exists(folder / kManifestFile, ignored) ||
         std::filesystem::exists(folder / kStateFile, ignored);
}

std::optional<ResumePoint> find_beginning(const CheckpointConfig& config,
                                          const CheckpointStore& store, bool resume) {
  if (resume) {
    if (config.resume_best) {
      if (std::optional<ResumePoint> best = find_best(store)) return best;
    }
    if (std::optional<ResumePoint> newest = store.find_resume()) return newest;
  }
  if (!config.resume_file) return std::nullopt;
  std::error_code error;
  if (!std::filesystem::exists(*config.resume_file, error)) {
    throw Error(ErrorKind::kCheckpoint, "checkpoint.resume_file = \"", config.resume_file->string(),
                "\" is not there", error ? ": " + error.message() : std::string(),
                "; name a checkpoint's folder, a run's, or a file of weights");
  }
  if (!is_checkpoint(*config.resume_file)) return std::nullopt;
  ResumePoint point;
  point.folder = checkpoint_at(*config.resume_file);
  point.content = load_checkpoint(point.folder);
  return point;
}

}  // namespace pergola::host
