// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/run_config.h"

#include "host/config/config_text.h"
#include "host/config/merge.h"
#include "host/config/schema.h"
#include "host/support/log.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <utility>

namespace pergola::host {
namespace {

// "train_val+test" → train, val, test.
std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of("_+, "), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

std::vector<std::string> run_type_words(const Config& root) {
  if (root.value().find("run_type")->is_string()) {
    return split_words(root.get<std::string>("run_type"));
  }
  std::vector<std::string> words;
  for (const std::string& item : root.get<std::vector<std::string>>("run_type")) {
    for (std::string& word : split_words(item)) words.push_back(std::move(word));
  }
  return words;
}

// To something else than the default: the config.toml of a run sets all keys.
bool was_set(const Config& config, std::string_view key) {
  const Value* const value = config.value().find(key);
  if (value == nullptr || value->origin() == "defaults") return false;
  const Value* const standard = default_config().find(key);
  return standard == nullptr || *standard != *value;
}

std::optional<ComponentConfig> parse_optimizer(const Config& root, const RunType& run_type) {
  const Config optimizer = root.table("optimizer");
  if (optimizer.has("type")) {
    return ComponentConfig{non_empty(optimizer, "type"), optimizer.table("params")};
  }
  if (!run_type.train) return std::nullopt;
  throw Error(ErrorKind::kConfig,
              "optimizer.type is not set, and training needs one; set it, such as optimizer = "
              "{type = \"adamw\", params = {lr = 0.001}}");
}

// The schedule's own params. MMF configures `pythia` in training.*, so those go beneath; and what
// is better for the best checkpoint is so for `reduce_on_plateau`.
Config scheduler_params(const Config& root, const std::string& type) {
  Config own = root.table("scheduler.params");
  Value params{Value::Table{}};
  if (type == "pythia") {
    for (const char* key :
         {"lr_steps", "lr_ratio", "use_warmup", "warmup_factor", "warmup_iterations"}) {
      params[key] = *root.table("training").value().find(key);
    }
  } else if (type == "reduce_on_plateau") {
    params["mode"] = root.get<bool>("training.early_stop.minimize") ? "min" : "max";
  } else {
    return own;
  }
  merge(params, own.value());
  // Errors name the table that the user wrote.
  const bool is_own = type != "pythia" || !own.value().as_table().empty();
  return Config(std::move(params), is_own ? own.path() : "training");
}

std::optional<SchedulerConfig> parse_scheduler(const Config& root) {
  const Config scheduler = root.table("scheduler");
  const std::string type = non_empty(scheduler, "type");
  const std::string interval = scheduler.get_choice("interval", "update", {"update", "epoch"});
  if (root.get<bool>("training.lr_scheduler")) {
    return SchedulerConfig{{type, scheduler_params(root, type)}, interval == "epoch"};
  }
  return std::nullopt;
}

// `"model.bert" = "bert"`, and `model.bert = "bert"`, which TOML and key=value make a table in a
// table of.
void flatten_mapping(const Config& table, const std::string& path,
                     std::map<std::string, std::string>& mapping) {
  for (const auto& [key, value] : table.value().as_table()) {
    const std::string name = path.empty() ? key : path + '.' + key;
    if (value.is_table()) {
      flatten_mapping(Config(value, table.path() + '.' + key), name, mapping);
    } else if (value.is_string()) {
      mapping[name] = value.as_string();
    } else {
      throw Error(ErrorKind::kConfig, table.path(), ".", key, " = ", to_string(value),
                  value.origin().empty() ? "" : " (" + value.origin() + ")", " is ",
                  value.type_name(), "; expected a part of the file's names, such as \"bert\"");
    }
  }
}

// `resume_file` with resume_pretrained is MMF's way to say `pretrained`.
void parse_beginning(const Config& config, CheckpointConfig& checkpoint) {
  if (config.has("resume_file")) checkpoint.resume_file = non_empty(config, "resume_file");
  if (config.has("pretrained")) checkpoint.pretrained = non_empty(config, "pretrained");
  const bool weights_alone = config.get<bool>("resume_pretrained");
  if (weights_alone && !checkpoint.resume_file) {
    throw config.error("resume_pretrained",
                       "needs checkpoint.resume_file, the weights to begin with, which is not set");
  }
  if (!checkpoint.resume_file) return;
  if (checkpoint.pretrained) {
    throw config.error("resume_file",
                       "is one thing to begin with, and checkpoint.pretrained another; take one of "
                       "the two out");
  }
  if (weights_alone) std::swap(checkpoint.pretrained, checkpoint.resume_file);
}

CheckpointConfig parse_checkpoint(const Config& config) {
  CheckpointConfig checkpoint;
  checkpoint.resume = config.get<bool>("resume");
  checkpoint.resume_best = config.get<bool>("resume_best");
  parse_beginning(config, checkpoint);
  const Config reset = config.table("reset");
  checkpoint.reset = {reset.get<bool>("all"), reset.get<bool>("optimizer"),
                      reset.get<bool>("counts"), reset.get<bool>("fp16_scaler")};
  checkpoint.max_to_keep = config.get<std::int64_t>("max_to_keep");
  checkpoint.keep_every = config.get<std::int64_t>("keep_every");
  checkpoint.keep_best = config.get<std::int64_t>("keep_best");
  checkpoint.save_in_background = config.get<bool>("save_in_background");
  checkpoint.save_git_details = config.get<bool>("save_git_details");
  flatten_mapping(config.table("pretrained_state_mapping"), "",
                  checkpoint.pretrained_state_mapping);
  checkpoint.pretrained_resize_positions = config.get<bool>("pretrained_resize_positions");
  checkpoint.bypass_shape_mismatch = config.get<bool>("bypass_shape_mismatch");
  return checkpoint;
}

MultitaskingConfig parse_multitasking(const Config& config) {
  return {config.get<bool>("enabled"),
          config.get_choice(
              "type", "size_proportional",
              {"constant", "round_robin", "random", "size_proportional", "ratios", "temperature"}),
          config.table("params")};
}

// Autocast alone brings features in half precision together with weights in float32, and it does
// not bring the two halves together (at::cat). The key is image_text's, and of whatever data set
// has the same.
void check_feature_type(const Config& root, const Config& dataset, Precision precision) {
  const Value* value = dataset.value().find("feature_dtype");
  const std::string type = value != nullptr && value->is_string() ? value->as_string() : "";
  if (type != "float16" && type != "bfloat16") return;
  const std::string fitting = precision == Precision::kBf16   ? "bfloat16"
                              : precision == Precision::kFp16 ? "float16"
                                                              : "";
  if (type == fitting) return;
  const std::string found =
      precision == Precision::kFp16 ? "fp16" : root.get<std::string>("training.precision");
  throw dataset.error(
      "feature_dtype",
      concat("is for training.precision = \"", type == "float16" ? "fp16" : "bf16",
             "\", but that is \"", found, "\"; set it, or feature_dtype = ",
             fitting.empty() ? "" : concat("\"", fitting, "\" or "), "\"float32\""));
}

}  // namespace

RunType RunType::parse(const Config& root) {
  const std::vector<std::string> known = {"train", "val", "test", "inference"};
  const std::vector<std::string> words = run_type_words(root);
  if (words.empty()) throw root.error("run_type", "is empty; expected some of " + join(known));
  RunType run_type;
  for (const std::string& word : words) {
    if (word == "train") {
      run_type.train = true;
    } else if (word == "val") {
      run_type.val = true;
    } else if (word == "test" || word == "inference") {
      run_type.test = true;
    } else {
      throw root.error("run_type",
                       "has the unknown word '" + word + "'" + did_you_mean(word, known));
    }
  }
  return run_type;
}

RunConfig RunConfig::parse(const Config& root) {
  RunConfig run;
  run.model = root.get<std::string>("model");
  run.datasets = dataset_names(root);
  run.dataset = run.datasets.front();
  run.run_type = RunType::parse(root);
  run.training = TrainingConfig::parse(root.table("training"));
  run.optimizer = parse_optimizer(root, run.run_type);
  run.scheduler = parse_scheduler(root);
  run.evaluation.metrics = root.typed_list("evaluation.metrics");
  run.evaluation.use_cpu = root.get<bool>("evaluation.use_cpu");
  run.evaluation.predict = root.get<bool>("evaluation.predict");
  run.evaluation.predict_csv =
      root.table("evaluation").get_choice("predict_file_format", "json", {"json", "csv"}) == "csv";
  run.checkpoint = parse_checkpoint(root.table("checkpoint"));
  run.multitasking = parse_multitasking(root.table("multitasking"));
  run.env.data_dir = non_empty(root, "env.data_dir");
  run.env.save_dir = writable_path(root, "env.save_dir");
  run.check_state = root.get<bool>("plugins.check_state");
  run.probe_plugins = root.get<bool>("plugins.probe");
  run.model_config = root.table(concat("model_config.", run.model));
  for (const std::string& name : run.datasets) {
    run.dataset_configs[name] = root.table(concat("dataset_config.", name));
    check_feature_type(root, run.dataset_configs[name], run.training.precision);
  }
  return run;
}

void RunConfig::warn_of_no_effect(const Config& root) const {
  const auto warn = [&root](std::string_view reason, std::initializer_list<std::string_view> keys) {
    for (const std::string_view key : keys) {
      if (!was_set(root, key)) continue;
      log::warning("[config] ", key, " has no effect, because ", reason);
    }
  };
  if (training.max_epochs && was_set(root, "training.max_updates")) {
    log::warning("[config] training.max_epochs = ", *training.max_epochs,
                 " wins over training.max_updates = ", training.max_updates,
                 "; to train for less, lower training.max_epochs, which may be a fraction");
  }
  if (!training.max_grad_l2_norm) {
    warn("training.clip_gradients is false", {"training.max_grad_l2_norm"});
  }
  if (!training.early_stop.enabled) {
    warn("training.early_stop.enabled is false", {"training.early_stop.patience"});
  }
  if (!training.ema.enabled) {
    warn("training.ema.enabled is false",
         {"training.ema.decay", "training.ema.start_update", "training.ema.interval"});
  }
  if (!training.profile.enabled) {
    warn("training.profile.enabled is false",
         {"training.profile.output", "training.profile.start_update", "training.profile.updates"});
  }
  if (!training.nan_guard.enabled) {
    warn(
        "training.exit_on_nan_losses is false",
        {"training.nan_guard.action", "training.nan_guard.limit", "training.nan_guard.save_batch"});
  }
  if (!training.spike_guard.enabled) {
    warn("training.spike_guard.enabled is false",
         {"training.spike_guard.action", "training.spike_guard.zscore",
          "training.spike_guard.window", "training.spike_guard.limit"});
  }
  if (training.deterministic) {
    warn("training.deterministic is true", {"training.cudnn_benchmark"});
  }
  if (!training.tensorboard) {
    warn("training.tensorboard is false", {"training.histogram_interval"});
  }
  if (!scheduler) {
    warn("training.lr_scheduler is false",
         {"scheduler.type", "training.lr_steps", "training.lr_ratio", "training.use_warmup",
          "training.warmup_factor", "training.warmup_iterations"});
  }
  if (datasets.size() == 1) {
    warn("there is one data set", {"multitasking.type", "multitasking.params"});
  }
  if (!checkpoint.pretrained) {
    warn("checkpoint.pretrained is not set",
         {"checkpoint.pretrained_state_mapping", "checkpoint.pretrained_resize_positions",
          "checkpoint.bypass_shape_mismatch"});
  }
}

const char* batch_size_key(const Value& root) {
  constexpr const char* kOfDevice = "training.batch_size_per_device";
  const Value* const size = root.find(kOfDevice);
  return size == nullptr || size->is_null() ? "training.batch_size" : kOfDevice;
}

}  // namespace pergola::host
