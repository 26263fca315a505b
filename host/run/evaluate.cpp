// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/logging_callback.h"
#include "host/checkpoint/store.h"
#include "host/run/commands.h"
#include "host/run/rehearsal_folder.h"
#include "host/run/session.h"
#include "host/support/log.h"
#include "pergola/error.h"

#include <cmath>
#include <optional>

namespace pergola::host {
namespace {

std::filesystem::path choose_checkpoint(const EvaluateRequest& request, const RunConfig& config) {
  if (request.checkpoint) return checkpoint_at(*request.checkpoint);
  const CheckpointStore store(config.env.save_dir);
  if (const auto folder = store.find_weights()) return *folder;
  std::error_code ignored;
  const bool replaced = std::filesystem::exists(config.env.save_dir / ".replaced", ignored);
  throw Error(ErrorKind::kCheckpoint, "there is no checkpoint in ", config.env.save_dir.string(),
              replaced ? "; it was being overwritten when its process died, and `pergola train` "
                         "with --resume puts the old run back"
                       : "; name one with --checkpoint, or train first");
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

}  // namespace

RunResult evaluate(const EvaluateRequest& request) {
  const RunConfig config = RunConfig::parse(request.config.root);
  config.warn_of_no_effect(request.config.root);
  RunResult result;
  result.checkpoint = choose_checkpoint(request, config);
  const CheckpointContent content = load_checkpoint(result.checkpoint, CheckpointParts::kModel);
  Session session(config, request.catalog);
  session.check_identity(content.state);
  session.build_model(request.split, /*seed=*/0);
  session.check_data(content.state, request.split);
  session.load_weights(content, result.checkpoint);
  log::info("[checkpoint] weights of ", result.checkpoint.string());
  std::optional<RehearsalFolder> rehearsal;
  if (config.training.fast_dev_run > 0) log_rehearsal(config.training.fast_dev_run);
  if (config.training.fast_dev_run > 0 && request.predict) rehearsal.emplace();
  Session::Evaluation evaluation =
      session.evaluate(request.split, request.predict ? prediction_folder(config, rehearsal) : "");
  result.metrics = std::move(evaluation.numbers);
  if (!rehearsal) result.files = std::move(evaluation.files);
  if (config.training.nan_guard.enabled) check_losses(result.metrics, result.checkpoint);
  result.status = "finished";
  const Value* update = content.state.find("progress.update");
  if (update != nullptr) result.updates = update->as_integer();
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
