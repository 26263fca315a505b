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

bool is_checkpoint(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(checkpoint_at(path) / kManifestFile, ignored);
}

std::optional<ResumePoint> find_beginning(const CheckpointConfig& config,
                                          const CheckpointStore& store, bool resume) {
  if (resume) {
    if (config.resume_best) {
      if (std::optional<ResumePoint> best = find_best(store)) return best;
    }
    if (std::optional<ResumePoint> newest = store.find_resume()) return newest;
  }
  if (!config.resume_file || !is_checkpoint(*config.resume_file)) return std::nullopt;
  ResumePoint point;
  point.folder = checkpoint_at(*config.resume_file);
  point.content = load_checkpoint(point.folder);
  return point;
}

}  // namespace pergola::host
