// SPDX-License-Identifier: BSD-3-Clause
// The list of keys, and what is made from it.
#include "host/config/merge.h"
#include "host/config/schema.h"
#include "host/config/toml.h"

#include <cstdint>
#include <limits>

namespace pergola::host {
namespace {

constexpr double kAny = std::numeric_limits<double>::infinity();
constexpr Bounds kAtLeastZero{0, kAny};
constexpr Bounds kAtLeastOne{1, kAny};
constexpr Bounds kMinusOneOrMore{-1, kAny};
// Finite, so that the number of updates that follows from them is one of 64 bits.
constexpr Bounds kFrequency{1, 1'000'000};
constexpr Bounds kEpochs{0, 1'000'000, Bounds::Low::kExcluded};
// Far above any gradient, and a number of float32, as is its product with one.
constexpr Bounds kGradient{0, 1e15, Bounds::Low::kExcluded};
constexpr Bounds kFraction{0, 1};
constexpr Bounds kThreads{0, 1024};
constexpr Bounds kSanitySteps{-1, kAny};
constexpr Bounds kScore{0, 1000, Bounds::Low::kExcluded};
constexpr Bounds kWindow{2, 1'000'000};
constexpr Bounds kKeepBest{1, 1000};

using enum KeyType;

constexpr KeySpec kSchemaKeys[] = {
    {"model", kString, "",
     "The model's name; `pergola list models` shows them all. Or {type = \"name\", pretrained = "
     "\"path\"}."},
    {"dataset", kStringOrArray, "",
     "The data set's name, or several; `pergola list datasets` shows them all."},
    {"run_type", kStringOrArray, "\"train_test\"",
     "What to do: words train, val, test (or inference) joined by _, or an array of them."},
    {"model_config", kTable, "", "model_config.<model>: what the model of that name is made from."},
    {"dataset_config", kTable, "", "dataset_config.<dataset>: the same for a data set."},

    {"training.experiment_name", kString, "\"run\"", "Names the run and its folder."},
    {"training.seed", kInteger, "1234",
     "Seeds weights, order and augmentation; -1 draws one and logs it.", &kMinusOneOrMore},
    {"training.device", kString, "\"auto\"",
     "auto, cpu, cuda or cuda:N; auto takes the first GPU that there is."},
    {"training.num_threads", kInteger, "0", "CPU threads for tensor work; 0: all cores.",
     &kThreads},
    {"training.precision", kString, "\"fp32\"",
     "What forward and backward compute in: fp32, tf32, bf16, or fp16 with a loss scaler."},
    {"training.fp16", kBoolean, "false", "MMF's short form of precision = \"fp16\"."},
    {"training.deterministic", kBoolean, "false",
     "Only operations that give the same bits each time; slower on a GPU."},
    {"training.cudnn_benchmark", kBoolean, "false",
     "Let cuDNN try its algorithms and take the fastest: for inputs of one size."},
    {"training.detect_anomaly", kBoolean, "false",
     "Name the operation, forward or backward, whose NaN stops the run; slow, for looking for it."},
    {"training.recompute", kBoolean, "false",
     "Compute activations again in the backward pass: less memory, more time. For models with it."},
    {"training.fused_kernels", kBoolean, "true",
     "The host's own kernels on a GPU; false: LibTorch's operators alone, to compare with."},
    {"training.cuda_graphs", kStringOrBoolean, "\"auto\"",
     "Replay recorded updates and predictions on a GPU; auto: where that can be; true: updates "
     "must."},
    {"training.cuda_allocator", kString, "\"\"",
     "Settings of LibTorch's memory on a GPU, such as \"expandable_segments:True\"."},
    {"training.on_out_of_memory", kString, "\"stop\"",
     "A batch that does not fit in memory: stop, or halve it, with the same update, and go on."},
    {"training.batch_size", kInteger, "512", "Samples in a batch.", &kAtLeastOne},
    {"training.batch_size_per_device", kInteger, "",
     "Samples in a batch of each device; wins over batch_size.", &kAtLeastOne},
    {"training.update_frequency", kInteger, "1",
     "Batches whose gradients are added up for one update.", &kFrequency},
    {"training.max_updates", kInteger, "22000", "Updates until training ends.", &kAtLeastOne},
    {"training.max_epochs", kFloat, "",
     "Passes over the data until training ends, fractions allowed; wins over max_updates.",
     &kEpochs},
    {"training.max_time", kString, "",
     "Time after which training ends, resumed parts included: \"90 minutes\", \"1:30:00\"."},
    {"training.log_interval", kInteger, "100", "Updates from one log line to the next.",
     &kAtLeastOne},
    {"training.checkpoint_interval", kDuration, "1000",
     "From one checkpoint to the next: updates, or \"2 epochs\", \"30 minutes\"; 0: only at the "
     "end."},
    {"training.evaluation_interval", kDuration, "1000",
     "From one validation to the next, in the same units; 0: after each epoch."},
    {"training.num_sanity_val_steps", kInteger, "1",
     "Batches of the validation that are tried before training; -1: all. One at least is.",
     &kSanitySteps},
    {"training.limit_train_batches", kFloat, "1.0",
     "Batches that make an epoch: a whole number of them, or a fraction, 1.0 being all.",
     &kAtLeastZero},
    {"training.limit_val_batches", kFloat, "1.0", "The same for a validation.", &kAtLeastZero},
    {"training.limit_test_batches", kFloat, "1.0", "The same for a test.", &kAtLeastZero},
    {"training.overfit_batches", kInteger, "0",
     "Train and validate on the first so many batches alone, unshuffled; 0: off.", &kAtLeastZero},
    {"training.fast_dev_run", kIntegerOrBoolean, "false",
     "Rehearse a whole run with 1 (true) or so many batches of each split, and keep nothing."},
    {"training.evaluate_metrics", kBoolean, "false",
     "Compute the metrics for training batches too, where a log line is due."},
    {"training.num_workers", kInteger, "4",
     "Threads that load data; 0: the training thread does it.", &kThreads},
    {"training.pin_memory", kBoolean, "true", "Page-locked batches, for faster copies to a GPU."},
    {"training.clip_gradients", kBoolean, "false",
     "Scale gradients down whose norm is above max_grad_l2_norm."},
    {"training.max_grad_l2_norm", kFloat, "", "Needed by clip_gradients.", &kGradient},
    {"training.clip_norm_mode", kString, "\"all\"",
     "The norm is that of all gradients together; MMF has no other either."},
    {"training.clip_grad_value", kFloat, "",
     "Limit each number of a gradient to this size; alone, without clip_gradients.", &kGradient},
    {"training.freeze", kStrings, "[]",
     "Parameters not to train, as patterns of names: * is any text, ? a character. Buffers still "
     "move."},
    {"training.unfreeze", kTables, "[]",
     "Train later: {parameters = [\"model.bert.*\"], after = \"2 epochs\"} or a number of "
     "updates."},
    {"training.exit_on_nan_losses", kBoolean, "true",
     "Stop, with exit code 6, when a loss is not a finite number."},
    {"training.lr_scheduler", kBoolean, "false", "Change the learning rate as `scheduler` says."},
    {"training.lr_steps", kIntegers, "[]",
     "Scheduler `pythia`: the updates at which the rate is multiplied by lr_ratio."},
    {"training.lr_ratio", kFloat, "0.1", "Scheduler `pythia`: see lr_steps."},
    {"training.use_warmup", kBoolean, "false",
     "Scheduler `pythia`: begin with a part of the rate, and let it grow."},
    {"training.warmup_factor", kFloat, "0.2", "Scheduler `pythia`: that part.", &kFraction},
    {"training.warmup_iterations", kInteger, "1000", "Scheduler `pythia`: for so many updates."},
    {"training.callbacks", kTypedList, "[]",
     "Further callbacks, {type = \"name\", params = {...}} or just the name."},
    {"training.tensorboard", kBoolean, "false",
     "Write TensorBoard's event files to the run's folder, too."},
    {"training.histogram_interval", kInteger, "0",
     "Updates between histograms of weights and gradients for TensorBoard; 0: none.",
     &kAtLeastZero},
    {"training.logger_level", kString, "\"info\"",
     "What the log shows: debug, info, warning or error; --log-level wins."},
    {"training.should_not_log", kBoolean, "false", "Show errors alone on the terminal."},
    {"training.colored_logs", kBoolean, "true", "Colours for warnings and errors on a terminal."},
    {"training.log_format", kString, "\"simple\"",
     "log.txt as text (simple), or a JSON object a line (json)."},
    {"training.log_detailed_config", kBoolean, "false",
     "Begin the log with the whole config and where its values are from."},
    {"training.nan_guard.action", kString, "\"stop\"",
     "What exit_on_nan_losses does: stop, or skip the update and go on."},
    {"training.nan_guard.limit", kInteger, "10",
     "Updates skipped in a row after which it stops all the same.", &kAtLeastOne},
    {"training.nan_guard.save_batch", kBoolean, "true",
     "Save the batch whose loss is not finite to the run's folder."},
    {"training.spike_guard.enabled", kBoolean, "false",
     "Look for updates whose loss or gradient is far above those before."},
    {"training.spike_guard.action", kString, "\"skip\"", "skip such an update, or warn."},
    {"training.spike_guard.zscore", kFloat, "6.0",
     "How many standard deviations above the mean are too many.", &kScore},
    {"training.spike_guard.window", kInteger, "128",
     "Of how many updates mean and deviation are; none is judged before.", &kWindow},
    {"training.spike_guard.limit", kInteger, "10",
     "Updates skipped in a row after which one is accepted.", &kAtLeastOne},
    {"training.ema.enabled", kBoolean, "false",
     "Evaluate, and save as the model, an exponential moving average of the weights."},
    {"training.ema.decay", kFloat, "0.999", "What an averaging keeps of the average.", &kFraction},
    {"training.ema.start_update", kInteger, "0", "Until there the average is the weights.",
     &kAtLeastZero},
    {"training.ema.interval", kInteger, "1", "Updates from one averaging to the next.",
     &kAtLeastOne},
    {"training.profile.enabled", kBoolean, "false",
     "Look at a few updates, as output says; --profile and --nvtx are short for it."},
    {"training.profile.output", kString, "\"trace\"",
     "trace: trace.json in the run's folder, for Perfetto; nvtx: ranges, for Nsight Systems."},
    {"training.profile.start_update", kInteger, "20",
     "Updates of this process before the first of them.", &kAtLeastZero},
    {"training.profile.updates", kInteger, "5", "How many of them.", &kAtLeastOne},
    {"training.early_stop.enabled", kBoolean, "false",
     "Stop when criteria has not become better for more than patience updates."},
    {"training.early_stop.patience", kInteger, "4000", "Updates to wait for a better value.",
     &kAtLeastZero},
    {"training.early_stop.criteria", kString, "\"total_loss\"",
     "Which number of the validation says what the best checkpoint is."},
    {"training.early_stop.minimize", kBoolean, "true", "Is less of it better?"},

    {"optimizer.type", kString, "",
     "The optimizer's name; `pergola list optimizers` shows them all."},
    {"optimizer.params", kTable, "", "What the optimizer takes, such as lr = 0.001."},
    {"optimizer.allow_unused_parameters", kBoolean, "false",
     "Permit a model whose parameter groups leave some of its parameters out."},

    {"scheduler.type", kString, "\"pythia\"",
     "The schedule's name, used when lr_scheduler is true; see `pergola list schedulers`."},
    {"scheduler.params", kTable, "", "What the scheduler takes."},
    {"scheduler.interval", kString, "\"update\"",
     "What its numbers count, and after what the rate changes: update or epoch."},

    {"evaluation.metrics", kTypedList, "[]",
     "Metrics, {type = \"name\", params = {...}} or just the name."},
    {"evaluation.use_cpu", kBoolean, "false",
     "Compute metrics on the CPU, which takes less of the GPU's memory."},
    {"evaluation.predict", kBoolean, "false",
     "Write the prediction files of run_type's splits, besides the metrics."},
    {"evaluation.predict_file_format", kString, "\"json\"",
     "Of the prediction files: json; csv, which is written besides."},

    {"checkpoint.resume", kBoolean, "false", "Go on with the run in env.save_dir; as --resume."},
    {"checkpoint.resume_best", kBoolean, "false",
     "Go on from the `best` of a run rather than from its `last`."},
    {"checkpoint.resume_file", kString, "",
     "Go on from this checkpoint, or that run's, where the run's own folder has none to resume."},
    {"checkpoint.resume_pretrained", kBoolean, "false",
     "Take weights alone from resume_file: the same as pretrained."},
    {"checkpoint.max_to_keep", kInteger, "-1",
     "How many checkpoints of checkpoint_interval to keep, besides last and best; -1: all.",
     &kMinusOneOrMore},
    {"checkpoint.keep_every", kInteger, "0",
     "Checkpoints of updates that are multiples of this are kept besides; 0: none.", &kAtLeastZero},
    {"checkpoint.keep_best", kInteger, "1", "How many of the best to keep: best, best_2, ...",
     &kKeepBest},
    {"checkpoint.save_in_background", kBoolean, "true",
     "Train on while a checkpoint is written; takes memory for a copy of it."},
    {"checkpoint.save_git_details", kBoolean, "true",
     "Save branch, commit and changes of the working directory's git repository."},
    {"checkpoint.pretrained", kString, "",
     "Start from these weights: a file or folder of safetensors, PyTorch or Hugging Face; a run."},
    {"checkpoint.pretrained_state_mapping", kTable, "",
     "Take those alone that fit {part of the model's names = part of the file's, or \"\"}."},
    {"checkpoint.pretrained_resize_positions", kBoolean, "false",
     "Take tables of positions of other lengths: cut, or begun again where they end."},
    {"checkpoint.bypass_shape_mismatch", kBoolean, "false",
     "Leave out pretrained weights of other shapes than the model's, rather than to stop."},
    {"checkpoint.reset.all", kBoolean, "false", "Of a resumed checkpoint take the weights alone."},
    {"checkpoint.reset.optimizer", kBoolean, "false", "Leave out the optimizer's state."},
    {"checkpoint.reset.counts", kBoolean, "false",
     "Leave out updates, epochs, the schedule and the best so far."},
    {"checkpoint.reset.fp16_scaler", kBoolean, "false", "Leave out the loss scaler's state."},

    {"multitasking.enabled", kBoolean, "true",
     "Train on all data sets at once; false: on the first alone."},
    {"multitasking.type", kString, "\"size_proportional\"",
     "Whose batch is next: constant, round_robin, random, size_proportional, ratios, temperature."},
    {"multitasking.params", kTable, "",
     "idx of constant, start_idx of round_robin, sampling_ratios of ratios, temperature (2)."},

    {"env.data_dir", kString,
     "\"${env:PERGOLA_DATA_DIR,${env:XDG_CACHE_HOME,${env:HOME,/tmp}/.cache}/pergola/data}\"",
     "The folder with the data sets, each in a folder of its name."},
    {"env.save_dir", kString, "\"runs/${training.experiment_name}\"", "The run's folder."},

    {"plugins.path", kStrings, "[]",
     "Folders with plugins, after those of --plugin-path and PERGOLA_PLUGIN_PATH."},
    {"plugins.trust", kString, "\"owner\"",
     "Whose plugins run: owner (nobody but you and root can write them), locked, any."},
    {"plugins.lock_file", kString, "\"pergola.lock\"",
     "Of locked: the file with their SHA-256 that `pergola plugins trust` writes."},
    {"plugins.check_state", kBoolean, "false",
     "For authors: name the plugin that changes what all code shares, such as the locale; slow."},
    {"plugins.probe", kBoolean, "true",
     "Try a plugin that was not seen before in a process of its own, before it joins this one."},
};

}  // namespace

std::span<const KeySpec> schema() noexcept { return kSchemaKeys; }

std::string schema_as_toml() {
  std::string out =
      "# SPDX-License-Identifier: BSD-3-Clause\n"
      "# Every key that Pergola knows, with its default. Read it; a run's config holds only what "
      "it\n"
      "# changes. Written from the list in host/config/schema_keys.cpp: a test compares the two.\n";
  std::string table;
  for (const KeySpec& key : schema()) {
    const std::size_t dot = key.path.rfind('.');
    const std::string_view parent = dot == std::string_view::npos ? "" : key.path.substr(0, dot);
    const std::string_view name =
        dot == std::string_view::npos ? key.path : key.path.substr(dot + 1);
    if (parent != table) {
      table = parent;
      out += "\n[" + table + "]\n";
    } else if (parent.empty()) {
      out += '\n';
    }
    out.append("# ").append(key.doc).append("\n");
    if (key.default_toml.empty()) {
      out.append("# ").append(name).append(" = (").append(type_text(key.type)).append(")\n");
    } else {
      out.append(name).append(" = ").append(key.default_toml).append("\n");
    }
  }
  return out;
}

const Value& default_config() {
  static const Value kDefaults = [] {
    Value value = parse_toml(schema_as_toml(), "defaults");
    set_origins(value, "defaults");
    return value;
  }();
  return kDefaults;
}

}  // namespace pergola::host
