// SPDX-License-Identifier: BSD-3-Clause
// `training` of a config, as a struct.
#include "host/config/allocator_settings.h"
#include "host/config/config_text.h"
#include "host/config/run_config.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace pergola::host {
namespace {

bool is_device(const std::string& text) {
  if (text == "auto" || text == "cpu" || text == "cuda") return true;
  constexpr std::string_view kPrefix = "cuda:";
  const std::string_view rest =
      std::string_view(text).substr(std::min(text.size(), kPrefix.size()));
  return text.substr(0, kPrefix.size()) == kPrefix && !rest.empty() && rest.size() <= 2 &&
         rest.find_first_not_of("0123456789") == std::string_view::npos;
}

// Names the run's folder in env.save_dir's default, so it must not lead to another one.
std::string parse_experiment_name(const Config& training) {
  std::string name = writable_path(training, "experiment_name");
  if (name.find('/') == std::string::npos && name != "." && name != "..") return name;
  throw training.error("experiment_name",
                       "is not the name of a folder; rename it to one without '/' that is neither "
                       ". nor ..; where the run's folder is, env.save_dir or --run-dir says");
}

std::optional<double> parse_clip_norm(const Config& training) {
  if (training.get<std::string>("clip_norm_mode") != "all") {
    throw training.error("clip_norm_mode",
                         "is not known; expected \"all\": the norm of all gradients together");
  }
  if (!training.get<bool>("clip_gradients")) return std::nullopt;
  if (!training.has("max_grad_l2_norm")) {
    throw training.error("clip_gradients",
                         "needs training.max_grad_l2_norm, which is not set; set it to a number "
                         "above 0, such as 0.25");
  }
  return training.get<double>("max_grad_l2_norm");
}

void parse_clipping(const Config& config, TrainingConfig& training) {
  training.max_grad_l2_norm = parse_clip_norm(config);
  training.clip_grad_value = config.find<double>("clip_grad_value");
  if (!training.max_grad_l2_norm || !training.clip_grad_value) return;
  throw config.error("clip_grad_value",
                     "limits gradients by value, and training.clip_gradients by norm; take one of "
                     "the two out");
}

// MMF's rule: validation is what is monitored, said or not.
MonitorConfig parse_monitor(const Config& early_stop) {
  MonitorConfig monitor{non_empty(early_stop, "criteria"), early_stop.get<bool>("minimize")};
  if (monitor.criteria.substr(0, 4) != "val/") monitor.criteria.insert(0, "val/");
  return monitor;
}

Precision parse_precision(const Config& training) {
  const std::string word =
      training.get_choice("precision", "fp32", {"fp32", "tf32", "bf16", "fp16"});
  if (training.get<bool>("fp16")) {
    if (word == "fp32" || word == "fp16") return Precision::kFp16;
    throw training.error("fp16", concat("goes against training.precision = \"", word,
                                        "\"; take one of the two out"));
  }
  if (word == "tf32") return Precision::kTf32;
  if (word == "bf16") return Precision::kBf16;
  return word == "fp16" ? Precision::kFp16 : Precision::kFp32;
}

std::optional<double> parse_max_time(const Config& training) {
  if (!training.has("max_time")) return std::nullopt;
  const Duration time = Duration::parse(training, "max_time");
  if (time.unit == Duration::Unit::kSeconds && time.amount > 0) return time.amount;
  throw training.error("max_time",
                       "is no time to train; expected one above 0 such as \"90 minutes\", \"8 "
                       "hours\" or \"1:30:00\"");
}

std::int64_t parse_fast_dev_run(const Config& training) {
  const Value& value = *training.value().find("fast_dev_run");
  if (value.type() == Value::Type::kBoolean) return value.as_boolean() ? 1 : 0;
  if (value.as_integer() >= 0) return value.as_integer();
  throw training.error("fast_dev_run", "is below 0; expected true, or a number of batches");
}

CudaGraphs parse_cuda_graphs(const Config& training) {
  const Value& value = *training.value().find("cuda_graphs");
  if (value.type() == Value::Type::kBoolean) {
    return value.as_boolean() ? CudaGraphs::kOn : CudaGraphs::kOff;
  }
  if (value.as_string() == "auto") return CudaGraphs::kAuto;
  throw training.error("cuda_graphs", "is not a choice; expected \"auto\", true or false");
}

BatchLimit parse_train_limit(const Config& training) {
  const BatchLimit limit = BatchLimit::parse(training, "limit_train_batches");
  if (!limit.is_zero()) return limit;
  throw training.error("limit_train_batches",
                       "leaves nothing to train on; expected a whole number of batches above 0, "
                       "such as 10, or a fraction of them, such as 0.1");
}

GuardAction parse_action(const Config& guard, const std::vector<std::string>& choices) {
  const std::string word = guard.get_choice("action", choices.front(), choices);
  if (word == "stop") return GuardAction::kStop;
  return word == "warn" ? GuardAction::kWarn : GuardAction::kSkip;
}

NanGuardConfig parse_nan_guard(const Config& training) {
  const Config guard = training.table("nan_guard");
  return {training.get<bool>("exit_on_nan_losses"), parse_action(guard, {"stop", "skip"}),
          guard.get<std::int64_t>("limit"), guard.get<bool>("save_batch")};
}

SpikeGuardConfig parse_spike_guard(const Config& guard) {
  return {guard.get<bool>("enabled"), parse_action(guard, {"skip", "warn"}),
          guard.get<double>("zscore"), guard.get<std::int64_t>("window"),
          guard.get<std::int64_t>("limit")};
}

EmaConfig parse_ema(const Config& ema) {
  return {ema.get<bool>("enabled"), ema.get<double>("decay"), ema.get<std::int64_t>("start_update"),
          ema.get<std::int64_t>("interval")};
}

ProfileConfig parse_profile(const Config& profile) {
  const std::string output = profile.get_choice("output", "trace", {"trace", "nvtx"});
  return {profile.get<bool>("enabled"),
          output == "nvtx" ? ProfileOutput::kNvtx : ProfileOutput::kTrace,
          profile.get<std::int64_t>("start_update"), profile.get<std::int64_t>("updates")};
}

std::vector<UnfreezeConfig> parse_unfreeze(const Config& training) {
  std::vector<UnfreezeConfig> list;
  const Value::Array& items = training.value().find("unfreeze")->as_array();
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Config item(items[i], concat(training.path(), ".unfreeze[", i, "]"));
    item.allow_only({"parameters", "after"});
    UnfreezeConfig unfreeze;
    unfreeze.parameters = item.get<std::vector<std::string>>("parameters");
    if (unfreeze.parameters.empty()) {
      throw item.error("parameters", "is empty; expected patterns of parameters' names");
    }
    static_cast<void>(item.has("after") ? 0 : item.get<std::int64_t>("after"));
    unfreeze.after = Duration::parse(item, "after");
    if (unfreeze.after.unit == Duration::Unit::kSeconds) {
      throw item.error("after", "is a time; expected updates or epochs, such as \"2 epochs\"");
    }
    unfreeze.where = concat(item.path(), " (", items[i].origin(), ")");
    list.push_back(std::move(unfreeze));
  }
  return list;
}

void parse_lengths(const Config& config, TrainingConfig& training) {
  training.batch_size = config.get<std::int64_t>("batch_size");
  // A run has one device.
  training.batch_size_key = "training.batch_size";
  if (const auto own = config.find<std::int64_t>("batch_size_per_device")) {
    training.batch_size = *own;
    training.batch_size_key = "training.batch_size_per_device";
  }
  training.update_frequency = config.get<std::int64_t>("update_frequency");
  training.max_updates = config.get<std::int64_t>("max_updates");
  training.max_epochs = config.find<double>("max_epochs");
  training.max_seconds = parse_max_time(config);
  training.log_interval = config.get<std::int64_t>("log_interval");
  training.checkpoint_interval = Duration::parse(config, "checkpoint_interval");
  training.evaluation_interval = Duration::parse(config, "evaluation_interval");
  training.num_sanity_val_steps = config.get<std::int64_t>("num_sanity_val_steps");
  training.limit_train_batches = parse_train_limit(config);
  training.limit_val_batches = BatchLimit::parse(config, "limit_val_batches");
  training.limit_test_batches = BatchLimit::parse(config, "limit_test_batches");
  training.overfit_batches = config.get<std::int64_t>("overfit_batches");
  training.fast_dev_run = parse_fast_dev_run(config);
}

// Each split's first batches, to the end, with every part of a run used once at least.
void rehearse(TrainingConfig& training) {
  const BatchLimit limit{training.fast_dev_run, std::nullopt};
  training.limit_train_batches = limit;
  training.limit_val_batches = limit;
  training.limit_test_batches = limit;
  training.max_updates = training.fast_dev_run;
  training.max_epochs.reset();
  training.log_interval = 1;
}

}  // namespace

TrainingConfig TrainingConfig::parse(const Config& config) {
  TrainingConfig training;
  training.experiment_name = parse_experiment_name(config);
  training.seed = config.get<std::int64_t>("seed");
  training.device = config.get<std::string>("device");
  if (!is_device(training.device)) {
    throw config.error("device", "is not a device; expected auto, cpu, cuda or cuda:N");
  }
  training.num_threads = config.get<std::int64_t>("num_threads");
  training.precision = parse_precision(config);
  training.deterministic = config.get<bool>("deterministic");
  training.cudnn_benchmark = config.get<bool>("cudnn_benchmark");
  training.detect_anomaly = config.get<bool>("detect_anomaly");
  training.recompute = config.get<bool>("recompute");
  training.fused_kernels = config.get<bool>("fused_kernels");
  training.cuda_graphs = parse_cuda_graphs(config);
  training.cuda_allocator = allocator_settings(config, "cuda_allocator");
  const std::string shortage = config.get_choice("on_out_of_memory", "stop", {"stop", "halve"});
  training.on_out_of_memory = shortage == "halve" ? OnOutOfMemory::kHalve : OnOutOfMemory::kStop;
  parse_lengths(config, training);
  if (training.fast_dev_run > 0) rehearse(training);
  training.evaluate_metrics = config.get<bool>("evaluate_metrics");
  training.num_workers = config.get<std::int64_t>("num_workers");
  training.pin_memory = config.get<bool>("pin_memory");
  parse_clipping(config, training);
  training.nan_guard = parse_nan_guard(config);
  training.spike_guard = parse_spike_guard(config.table("spike_guard"));
  training.ema = parse_ema(config.table("ema"));
  training.profile = parse_profile(config.table("profile"));
  training.unfreeze = parse_unfreeze(config);
  training.callbacks = config.typed_list("callbacks");
  const Config early_stop = config.table("early_stop");
  training.monitor = parse_monitor(early_stop);
  training.early_stop = {early_stop.get<bool>("enabled"), early_stop.get<std::int64_t>("patience")};
  training.tensorboard = config.get<bool>("tensorboard");
  training.histogram_interval = config.get<std::int64_t>("histogram_interval");
  training.log_detailed_config = config.get<bool>("log_detailed_config");
  const std::string format = config.get_choice("log_format", "simple", {"simple", "json"});
  training.log_format = format == "json" ? LogFormat::kJson : LogFormat::kSimple;
  return training;
}

std::int64_t TrainingConfig::updates_to_train(std::int64_t updates_per_epoch) const {
  if (!max_epochs) return max_updates;
  const Duration all{*max_epochs, Duration::Unit::kEpochs};
  return std::max<std::int64_t>(1, all.to_updates(updates_per_epoch));
}

}  // namespace pergola::host
