// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/logging_callback.h"
#include "host/checkpoint/store.h"
#include "host/checkpoint/weights.h"
#include "host/run/commands.h"
#include "host/run/rehearsal_folder.h"
#include "host/run/resume.h"
#include "host/run/session.h"
#include "host/support/files.h"
#include "host/support/log.h"
#include "pergola/error.h"

#include <cmath>
#include <optional>

namespace pergola::host {
namespace {

// What is trained in the run's folder comes before that with which it began.
std::filesystem::path choose_weights(const EvaluateRequest& request, const RunConfig& config) {
  if (request.checkpoint) return checkpoint_at(*request.checkpoint);
  const CheckpointConfig& checkpoint = config.checkpoint;
  const CheckpointStore store(config.env.save_dir);
  if (const auto folder = store.find_weights()) {
    if (checkpoint.resume_file) {
      log::warning("[checkpoint] checkpoint.resume_file has no effect, because ",
                   config.env.save_dir.string(), " has checkpoints of its own; to evaluate it, ",
                   "name it with --checkpoint ", checkpoint.resume_file->string());
    }
    return *folder;
  }
  if (checkpoint.resume_file) return checkpoint_at(existing_resume_file(*checkpoint.resume_file));
  if (checkpoint.pretrained) return checkpoint_at(*checkpoint.pretrained);
  std::error_code ignored;
  const bool replaced = std::filesystem::exists(config.env.save_dir / ".replaced", ignored);
  throw Error(ErrorKind::kCheckpoint, "there is no checkpoint in ", config.env.save_dir.string(),
              replaced ? "; it was being overwritten when its process died, and `pergola train` "
                         "with --resume puts the old run back"
                       : "; name one with --checkpoint, or train first");
}

// Weights of others, which come without words, config and progress.
bool are_weights_alone(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored) || is_hugging_face_folder(path);
}

// A model with the weights at `path`, and the update that they are of; 0 where nobody knows.
std::int64_t load_model(Session& session, const std::string& split,
                        const std::filesystem::path& path) {
  if (are_weights_alone(path)) {
    session.build_model(split, /*seed=*/0);
    const std::vector<std::string> missing = session.load_pretrained();
    if (missing.empty()) return 0;
    throw Error(ErrorKind::kCheckpoint, path.string(), " has no ", missing.front(),
                missing.size() > 1 ? concat(" and ", missing.size() - 1, " more") : std::string(),
                ", and weights that nobody trained measure nothing; train first, or name a "
                "checkpoint with --checkpoint");
  }
  const CheckpointContent content = load_checkpoint(path, CheckpointParts::kModel);
  session.check_identity(content.state);
  session.build_model(split, /*seed=*/0);
  session.check_data(content.state, split);
  session.load_weights(content, path);
  log::info("[checkpoint] weights of ", path.string());
  const Value* update = content.state.find("progress.update");
  return update == nullptr ? 0 : update->as_integer();
}

void check_losses(const Numbers& numbers, const std::filesystem::path& checkpoint) {
  for (const auto& [key, number] : numbers) {
    if (!key.ends_with("/total_loss") || std::isfinite(number)) continue;
    throw Error(ErrorKind::kNan, key, " is not a finite number with the weights of ",
                checkpoint.string(),
                "; look for nan and inf in the data and in these weights, or take another "
                "checkpoint; training.exit_on_nan_losses = false goes on all the same");
  }
}

// Beside the checkpoint's run, or in the config's folder for a checkpoint from elsewhere, where a
// run may follow.
std::filesystem::path prediction_folder(const RunConfig& config,
                                        const std::optional<RehearsalFolder>& rehearsal) {
  if (!rehearsal) RunFolder::mark_if_empty(config.env.save_dir);
  return (rehearsal ? rehearsal->path() : config.env.save_dir) / "predictions";
}

// Beside predictions in a folder without a run, for the report: where their images are, and all
// else.
void keep_config(const ResolvedConfig& config, const std::filesystem::path& save_dir) {
  std::error_code ignored;
  if (std::filesystem::exists(save_dir / "config.toml", ignored)) return;
  write_file_atomic(save_dir / "predictions" / "config.toml", config.to_file(Origins::kShow));
}

}  // namespace

RunResult evaluate(const EvaluateRequest& request) {
  RunConfig config = RunConfig::parse(request.config.root);
  config.warn_of_no_effect(request.config.root);
  RunResult result;
  result.checkpoint = choose_weights(request, config);
  if (are_weights_alone(result.checkpoint)) config.checkpoint.pretrained = result.checkpoint;
  Session session(config, request.catalog);
  result.updates = load_model(session, request.split, result.checkpoint);
  std::optional<RehearsalFolder> rehearsal;
  if (config.training.fast_dev_run > 0) log_rehearsal(config.training.fast_dev_run);
  if (config.training.fast_dev_run > 0 && request.predict) rehearsal.emplace();
  Session::Evaluation evaluation =
      session.evaluate(request.split, request.predict ? prediction_folder(config, rehearsal) : "");
  result.metrics = std::move(evaluation.numbers);
  if (!rehearsal) result.files = std::move(evaluation.files);
  if (!result.files.empty()) keep_config(request.config, config.env.save_dir);
  if (config.training.nan_guard.enabled) check_losses(result.metrics, result.checkpoint);
  result.status = "finished";
  log::info("[", request.split, "] ", format_numbers(result.metrics));
  return result;
}

std::map<std::string, ListedKey> list_keys(const PluginCatalog& catalog, const std::string& kind) {
  std::map<std::string, ListedKey> keys;
  Registry registry;
  publish_builtins(registry);
  for (std::size_t k = 0; k < kKindCount; ++k) {
    const auto each = static_cast<Kind>(k);
    if (kind_name(each) != kind) continue;
    for (const std::string& key : registry.keys(each)) {
      keys[key] = {"host", registry.spec(each, key).value_or(ComponentSpec())};
    }
  }
  for (const PluginFile& file : catalog.files()) {
    if (!file.usable()) continue;
    for (const auto& [key, entry] : file.manifest->all(kind)) {
      keys[key] = {file.path.string(), component_spec(entry)};
    }
  }
  return keys;
}

}  // namespace pergola::host
