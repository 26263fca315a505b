// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/resume.h"

#include "host/checkpoint/manifest.h"
#include "host/support/log.h"
#include "pergola/error.h"

#include <string>
#include <system_error>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

std::optional<ResumePoint> find_best(const CheckpointStore& store) {
  ResumePoint point;
  point.folder = store.best();
  try {
    point.content = load_checkpoint(store.best());
    return point;
  } catch (const Error& failure) {
    log::warning(
        "[resume] the run goes on from its newest checkpoint, because `best` cannot be used: ",
        failure.what());
    return std::nullopt;
  }
}

std::optional<ResumePoint> find_in_run(const CheckpointConfig& config, const CheckpointStore& store,
                                       const std::string& advice = "") {
  if (config.resume_best) {
    if (std::optional<ResumePoint> best = find_best(store)) return best;
  }
  return store.find_resume(advice);
}

// state.json without a manifest is one that was never finished: to be refused, not to be taken for
// weights alone.
bool is_checkpoint(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path / kManifestFile, ignored) || fs::exists(path / kStateFile, ignored);
}

std::optional<ResumePoint> find_at(const CheckpointConfig& config, const fs::path& path) {
  if (is_run_folder(path)) {
    return find_in_run(config, CheckpointStore(path),
                       "; let checkpoint.resume_file name another checkpoint, such as " +
                           (path / "checkpoints" / "best").string());
  }
  if (!is_checkpoint(path)) return std::nullopt;
  ResumePoint point;
  point.folder = path;
  point.content = load_checkpoint(path);
  return point;
}

}  // namespace

const fs::path& existing_resume_file(const fs::path& path) {
  std::error_code error;
  if (fs::exists(path, error)) return path;
  throw Error(ErrorKind::kCheckpoint, "checkpoint.resume_file = \"", path.string(),
              "\" is not there", error ? ": " + error.message() : std::string(),
              "; name a checkpoint's folder, a run's, or a file of weights");
}

std::optional<ResumePoint> find_beginning(const CheckpointConfig& config,
                                          const CheckpointStore& store, bool resume) {
  if (resume) {
    if (std::optional<ResumePoint> own = find_in_run(config, store)) return own;
  }
  if (!config.resume_file) return std::nullopt;
  return find_at(config, existing_resume_file(*config.resume_file));
}

}  // namespace pergola::host
