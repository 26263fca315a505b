// SPDX-License-Identifier: BSD-3-Clause
// The config of a run as plain structs: parsed once, in one place; nobody reads string keys later.
// The keys, their defaults and meanings are in configs/defaults.toml. Immutable after parsing;
// thread-safe.
#pragma once

#include "host/config/batch_limit.h"
#include "host/config/duration.h"
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

// What forward and backward compute in; weights and optimizer stay in float32.
enum class Precision {
  kFp32,
  kTf32,  // float32 whose matrix products round to 10 bits of mantissa, on a GPU
  kBf16,  // bfloat16 by autocast
  kFp16,  // float16 by autocast, with a loss scaler
};

// Which number of a validation says what the best checkpoint is.
struct MonitorConfig {
  std::string criteria;  // "val/easy_vqa/accuracy"; always begins with "val/"
  bool minimize = true;
};

// MMF's early_stop: `monitor` without a better value for more than `patience` updates.
struct EarlyStopConfig {
  bool enabled = false;
  std::int64_t patience = 4000;  // updates
};

enum class GuardAction { kStop, kSkip, kWarn };

// What to do when a loss is not a finite number.
struct NanGuardConfig {
  bool enabled = true;                      // training.exit_on_nan_losses
  GuardAction action = GuardAction::kStop;  // kStop or kSkip
  std::int64_t limit = 10;                  // skipped updates in a row, then it stops all the same
  bool save_batch = true;                   // the batch goes into the run's folder
};

// What to do when the loss or the gradients' norm of an update is far above those before.
struct SpikeGuardConfig {
  bool enabled = false;
  GuardAction action = GuardAction::kSkip;  // kSkip or kWarn
  double zscore = 6;                        // standard deviations above the mean of the window
  std::int64_t window = 128;                // updates; nothing is judged until it is full
  std::int64_t limit = 10;                  // skipped updates in a row, then training goes on
};

// What a profile of some updates is for: a file trace.json, or ranges for NVIDIA's tools.
enum class ProfileOutput { kTrace, kNvtx };

struct ProfileConfig {
  bool enabled = false;
  ProfileOutput output = ProfileOutput::kTrace;
  std::int64_t start_update = 20;  // of this process; those before warm up
  std::int64_t updates = 5;
};

// Exponential moving average of the weights (Polyak averaging), used by every evaluation.
struct EmaConfig {
  bool enabled = false;
  double decay = 0.999;
  std::int64_t start_update = 0;  // until there the average is the weights
  std::int64_t interval = 1;      // updates from one averaging to the next
};

// Parameters that are not trained until `after`.
struct UnfreezeConfig {
  std::vector<std::string> parameters;  // patterns of names, as in training.freeze
  Duration after;                       // updates or epochs
  std::string where;                    // "training.unfreeze[0] (file:3:4)"
};

// Are updates recorded as CUDA graphs? kAuto: where that can be.
enum class CudaGraphs { kAuto, kOn, kOff };

// What becomes of a batch that does not fit in memory: the run stops, or goes on with half of it at
// a time.
enum class OnOutOfMemory { kStop, kHalve };

enum class LogFormat { kSimple, kJson };

struct TrainingConfig {
  std::string experiment_name;
  std::int64_t seed = 0;         // -1: the trainer draws one and logs it
  std::string device;            // "auto", "cpu", "cuda" or "cuda:N"
  std::int64_t num_threads = 0;  // 0: all cores
  Precision precision = Precision::kFp32;
  bool deterministic = false;
  bool cudnn_benchmark = false;
  bool detect_anomaly = false;
  bool recompute = false;
  bool fused_kernels = true;
  CudaGraphs cuda_graphs = CudaGraphs::kAuto;
  std::string cuda_allocator;  // settings of LibTorch's allocator on a GPU; empty: its own
  OnOutOfMemory on_out_of_memory = OnOutOfMemory::kStop;
  std::int64_t batch_size = 0;
  std::string batch_size_key;  // that says so
  std::int64_t update_frequency = 1;
  std::int64_t max_updates = 0;
  std::optional<double> max_epochs;  // wins over max_updates
  std::optional<double> max_seconds;
  std::int64_t log_interval = 0;
  Duration checkpoint_interval;  // 0 updates: only at the end
  Duration evaluation_interval;  // 0 updates: after each epoch
  bool evaluate_metrics = false;
  std::int64_t num_workers = 0;  // 0: the training thread loads
  bool pin_memory = true;
  BatchLimit limit_train_batches;
  BatchLimit limit_val_batches;
  BatchLimit limit_test_batches;
  std::int64_t overfit_batches = 0;  // 0: off
  std::int64_t fast_dev_run = 0;     // batches of each split; 0: off
  std::int64_t num_sanity_val_steps = 1;
  std::optional<double> max_grad_l2_norm;  // set: gradients are clipped to it
  std::optional<double> clip_grad_value;   // set, and the other one not: so is each number of them
  NanGuardConfig nan_guard;
  SpikeGuardConfig spike_guard;
  EmaConfig ema;
  ProfileConfig profile;
  std::vector<UnfreezeConfig> unfreeze;
  std::vector<TypedConfig> callbacks;
  MonitorConfig monitor;
  EarlyStopConfig early_stop;
  bool tensorboard = false;
  std::int64_t histogram_interval = 0;  // updates between histograms of weights; 0: none
  LogFormat log_format = LogFormat::kSimple;
  bool log_detailed_config = false;

  // `training` is the config's table. Throws Error{kConfig} as RunConfig::parse does.
  [[nodiscard]] static TrainingConfig parse(const Config& training);

  // Updates of the whole training, 1 at least.
  [[nodiscard]] std::int64_t updates_to_train(std::int64_t updates_per_epoch) const;
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
  bool use_cpu = false;
  bool predict = false;
  bool predict_csv = false;  // CSV prediction files besides those of JSON
};

// What of a checkpoint a run does not take over (MMF.md §7.3).
struct ResetConfig {
  bool all = false;  // everything but the weights
  bool optimizer = false;
  bool counts = false;  // updates, epochs, the best so far, the schedule
  bool fp16_scaler = false;
};

struct CheckpointConfig {
  bool resume = false;
  bool resume_best = false;  // from `best` rather than `last`
  // Begins with this checkpoint where the run's folder has none to resume.
  std::optional<std::filesystem::path> resume_file;
  ResetConfig reset;
  std::int64_t max_to_keep = -1;  // update_* folders; -1: all
  std::int64_t keep_every = 0;    // update_* whose number is a multiple of it are kept; 0: none
  std::int64_t keep_best = 1;     // best checkpoints: `best`, best_2, ...
  bool save_in_background = true;
  bool save_git_details = true;
  // A training that is not resumed starts from these weights.
  std::optional<std::filesystem::path> pretrained;
  std::map<std::string, std::string> pretrained_state_mapping;  // part of the model's names, file's
  bool pretrained_resize_positions = false;
  bool bypass_shape_mismatch = false;  // leave out pretrained weights of other shapes
};

// How the batches of several data sets take turns (MMF.md §7.4).
struct MultitaskingConfig {
  bool enabled = true;
  // "constant", "round_robin", "random", "size_proportional", "ratios" or "temperature".
  std::string type = "size_proportional";
  Config params;
};

struct EnvConfig {
  std::filesystem::path data_dir;
  std::filesystem::path save_dir;
};

struct RunConfig {
  std::string model;
  std::string dataset;                // the first of `datasets`
  std::vector<std::string> datasets;  // at least one, each once
  RunType run_type;
  TrainingConfig training;
  std::optional<ComponentConfig> optimizer;  // always there when run_type.train
  // There when training.lr_scheduler is true. The params of `pythia` hold training.lr_steps,
  // lr_ratio, use_warmup, warmup_factor and warmup_iterations, under these names; those of
  // `reduce_on_plateau` a mode, "min" or "max", as training.early_stop.minimize says.
  std::optional<SchedulerConfig> scheduler;
  EvaluationConfig evaluation;
  CheckpointConfig checkpoint;
  MultitaskingConfig multitasking;
  EnvConfig env;
  bool check_state = false;                       // plugins.check_state
  bool probe_plugins = true;                      // plugins.probe
  Config model_config;                            // of `model`
  std::map<std::string, Config> dataset_configs;  // of each of `datasets`

  // Throws Error{kConfig} for what types and bounds alone do not show: an unknown word in run_type,
  // a device that is none, training without an optimizer, clipping without a norm or in two ways.
  // REQUIRES: `root` is of a ResolvedConfig.
  [[nodiscard]] static RunConfig parse(const Config& root);

  // Says in the log which settings of a run have no effect.  REQUIRES: parse(root) gave this.
  void warn_of_no_effect(const Config& root) const;
};

// The key of a config that says how many samples a batch has: training.batch_size_per_device, which
// wins, where it is set, or training.batch_size.
[[nodiscard]] const char* batch_size_key(const Value& root);

}  // namespace pergola::host
