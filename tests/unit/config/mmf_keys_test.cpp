// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/mmf_keys.h"

#include "host/config/schema.h"
#include "host/config/toml.h"
#include "unit/support/error_of.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace pergola::host {
namespace {

// Every key of MMF's mmf/configs/defaults.yaml; of tables that are about one thing, the table.
constexpr const char* kMmfDefaults[] = {"config_version",
                                        "run_type",
                                        "config",
                                        "model",
                                        "model_config",
                                        "datasets",
                                        "dataset_config",
                                        "trainer",
                                        "multitasking.enabled",
                                        "multitasking.type",
                                        "multitasking.params",
                                        "distributed",
                                        "training.trainer",
                                        "training.seed",
                                        "training.experiment_name",
                                        "training.max_updates",
                                        "training.max_epochs",
                                        "training.log_interval",
                                        "training.logger_level",
                                        "training.log_format",
                                        "training.log_detailed_config",
                                        "training.should_not_log",
                                        "training.colored_logs",
                                        "training.tensorboard",
                                        "training.cudnn_benchmark",
                                        "training.wandb",
                                        "training.batch_size",
                                        "training.batch_size_per_device",
                                        "training.update_frequency",
                                        "training.num_workers",
                                        "training.fast_read",
                                        "training.dataset_size_proportional_sampling",
                                        "training.pin_memory",
                                        "training.persistent_workers",
                                        "training.checkpoint_interval",
                                        "training.evaluation_interval",
                                        "training.clip_gradients",
                                        "training.clip_norm_mode",
                                        "training.max_grad_l2_norm",
                                        "training.early_stop.enabled",
                                        "training.early_stop.patience",
                                        "training.early_stop.criteria",
                                        "training.early_stop.minimize",
                                        "training.lr_scheduler",
                                        "training.lr_steps",
                                        "training.lr_ratio",
                                        "training.use_warmup",
                                        "training.warmup_factor",
                                        "training.warmup_iterations",
                                        "training.device",
                                        "training.local_rank",
                                        "training.verbose_dump",
                                        "training.find_unused_parameters",
                                        "training.evaluate_metrics",
                                        "training.detect_anomaly",
                                        "training.fp16",
                                        "training.callbacks",
                                        "training.exit_on_nan_losses",
                                        "evaluation.metrics",
                                        "evaluation.use_cpu",
                                        "evaluation.predict",
                                        "evaluation.predict_file_format",
                                        "evaluation.reporter",
                                        "evaluation.torchmetrics",
                                        "optimizer.type",
                                        "optimizer.params",
                                        "optimizer.allow_unused_parameters",
                                        "optimizer.enable_state_sharding",
                                        "scheduler.type",
                                        "scheduler.params",
                                        "env.cache_dir",
                                        "env.dataset_zoo",
                                        "env.model_zoo",
                                        "env.data_dir",
                                        "env.save_dir",
                                        "env.log_dir",
                                        "env.report_dir",
                                        "env.tensorboard_logdir",
                                        "env.wandb_logdir",
                                        "env.user_dir",
                                        "checkpoint.resume",
                                        "checkpoint.resume_file",
                                        "checkpoint.resume_best",
                                        "checkpoint.resume_pretrained",
                                        "checkpoint.resume_zoo",
                                        "checkpoint.zoo_config_override",
                                        "checkpoint.pretrained_state_mapping",
                                        "checkpoint.max_to_keep",
                                        "checkpoint.save_git_details",
                                        "checkpoint.reset.all",
                                        "checkpoint.reset.optimizer",
                                        "checkpoint.reset.counts",
                                        "checkpoint.reset.fp16_scaler",
                                        "checkpoint.bypass_shape_mismatch",
                                        "learning_rate"};

bool is_known(std::string_view path) {
  return std::ranges::any_of(schema(), [&](const KeySpec& key) { return key.path == path; });
}

TEST(MmfKeysTest, EveryKeyOfMmfIsTakenOrAnswered) {
  for (const char* path : kMmfDefaults) {
    EXPECT_NE(is_known(path), !instead_of_mmf_key(path).empty()) << path;
  }
}

TEST(MmfKeysTest, TheAnswerNamesKeyAndPlace) {
  for (const MmfKey& key : mmf_keys()) {
    EXPECT_EQ(test::error_of([&] {
                check_keys(parse_toml(std::string(key.path) + " = 1", "x.toml"));
              }).rfind(std::string(key.path) + " (x.toml:1:", 0),
              0U);
  }
  EXPECT_EQ(test::error_of([] { check_keys(parse_toml("learning_rate = 0.1", "x.toml")); }),
            "learning_rate (x.toml:1:17) is a key of MMF's that Pergola does not take: set "
            "optimizer.params.lr");
}

}  // namespace
}  // namespace pergola::host
