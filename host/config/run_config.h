// SPDX-License-Identifier: BSD-3-Clause
// The config of a run as plain structs: parsed once, in one place; nobody reads string keys later.
// The keys, their defaults and meanings are in configs/defaults.toml. Immutable after parsing;
// thread-safe.
#pragma once

#include "pergola/config.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

// What `pergola train` does.
struct RunType {
  bool train = false;
  bool val = false;   // validate after training, or on its own
  bool test = false;  // on the test split

  // From "train_test", "train+val", "inference" (MMF's word for test), or an array of such words.
  // Throws Error{kConfig} for an unknown word and for none at all.
  [[nodiscard]] static RunType parse(const Config& root);
};

// Which number of a validation says what the best checkpoint is.
struct MonitorConfig {
  std::string criteria;  // "val/easy_vqa/accuracy"; always begins with "val/"
  bool minimize = true;
};

struct TrainingConfig {
  std::string experiment_name;
  std::int64_t seed = 0;         // -1: the trainer draws one and logs it
  std::string device;            // "auto", "cpu", "cuda" or "cuda:N"
  std::int64_t num_threads = 0;  // 0: all cores
  std::int64_t batch_size = 0;
  std::int64_t update_frequency = 1;
  std::int64_t max_updates = 0;
  std::optional<double> max_epochs;  // wins over max_updates
  std::int64_t log_interval = 0;
  std::int64_t checkpoint_interval = 0;  // 0: only at the end
  std::int64_t evaluation_interval = 0;  // 0: after each epoch
  bool evaluate_metrics = false;
  std::int64_t num_workers = 0;  // 0: the training thread loads
  bool pin_memory = false;
  std::optional<double> max_grad_l2_norm;  // set: gradients are clipped to it
  std::optional<double> clip_grad_value;   // set, and the other one not: so is each number of them
  bool exit_on_nan_losses = true;
  std::vector<TypedConfig> callbacks;
  MonitorConfig monitor;
};

// An implementation by name, and what it is made from.
struct ComponentConfig {
  std::string type;
  Config params;
};

struct SchedulerConfig : ComponentConfig {
  bool by_epoch = false;  // its numbers count epochs, not updates
};

struct EvaluationConfig {
  std::vector<TypedConfig> metrics;
  bool predict = false;
};

struct CheckpointConfig {
  bool resume = false;
  std::int64_t max_to_keep = -1;  // -1: all
  // A training that is not resumed starts from these weights.
  std::optional<std::filesystem::path> pretrained;
  std::map<std::string, std::string> pretrained_state_mapping;  // part of the model's names, file's
  bool pretrained_resize_positions = false;
};

struct EnvConfig {
  std::filesystem::path data_dir;
  std::filesystem::path save_dir;
};

struct RunConfig {
  std::string model;
  std::string dataset;
  RunType run_type;
  TrainingConfig training;
  std::optional<ComponentConfig> optimizer;  // always there when run_type.train
  // There when training.lr_scheduler is true. The params of `pythia` hold training.lr_steps,
  // lr_ratio, use_warmup, warmup_factor and warmup_iterations, under these names; those of
  // `reduce_on_plateau` a mode, "min" or "max", as training.early_stop.minimize says.
  std::optional<SchedulerConfig> scheduler;
  EvaluationConfig evaluation;
  CheckpointConfig checkpoint;
  EnvConfig env;
  Config model_config;    // of `model`
  Config dataset_config;  // of `dataset`

  // Throws Error{kConfig} for what types and bounds alone do not show: an unknown word in run_type,
  // a device that is none, training without an optimizer, clipping without a norm or in two ways.
  // REQUIRES: `root` is of a ResolvedConfig.
  [[nodiscard]] static RunConfig parse(const Config& root);

  // Says in the log which settings of a run have no effect.  REQUIRES: parse(root) gave this.
  void warn_of_no_effect(const Config& root) const;
};

}  // namespace pergola::host
