// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/run_config.h"

#include "host/config/merge.h"
#include "host/support/log.h"
#include "host/support/printable.h"
#include "pergola/suggest.h"

#include <algorithm>
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

bool is_device(const std::string& text) {
  if (text == "auto" || text == "cpu" || text == "cuda") return true;
  constexpr std::string_view kPrefix = "cuda:";
  const std::string_view rest =
      std::string_view(text).substr(std::min(text.size(), kPrefix.size()));
  return text.substr(0, kPrefix.size()) == kPrefix && !rest.empty() && rest.size() <= 2 &&
         rest.find_first_not_of("0123456789") == std::string_view::npos;
}

bool was_set(const Config& config, std::string_view key) {
  const Value* value = config.value().find(key);
  return value != nullptr && value->origin() != "defaults";
}

std::string non_empty(const Config& config, std::string_view key) {
  std::string text = config.get<std::string>(key);
  if (text.empty()) throw config.error(key, "is empty; expected a name");
  return text;
}

// A path that the run's config.toml can hold and that the system takes whole, not up to a NUL.
std::string writable_path(const Config& config, std::string_view key) {
  std::string text = non_empty(config, key);
  if (printable(text) == text) return text;
  throw config.error(key,
                     "has control characters or bytes that are not UTF-8; expected a name without");
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

TrainingConfig parse_training(const Config& config) {
  TrainingConfig training;
  training.experiment_name = parse_experiment_name(config);
  training.seed = config.get<std::int64_t>("seed");
  training.device = config.get<std::string>("device");
  if (!is_device(training.device)) {
    throw config.error("device", "is not a device; expected auto, cpu, cuda or cuda:N");
  }
  training.num_threads = config.get<std::int64_t>("num_threads");
  training.batch_size = config.get<std::int64_t>("batch_size");
  training.update_frequency = config.get<std::int64_t>("update_frequency");
  training.max_updates = config.get<std::int64_t>("max_updates");
  training.max_epochs = config.find<double>("max_epochs");
  training.log_interval = config.get<std::int64_t>("log_interval");
  training.checkpoint_interval = config.get<std::int64_t>("checkpoint_interval");
  training.evaluation_interval = config.get<std::int64_t>("evaluation_interval");
  training.evaluate_metrics = config.get<bool>("evaluate_metrics");
  training.num_workers = config.get<std::int64_t>("num_workers");
  training.pin_memory = config.get<bool>("pin_memory");
  parse_clipping(config, training);
  training.exit_on_nan_losses = config.get<bool>("exit_on_nan_losses");
  training.callbacks = config.typed_list("callbacks");
  training.monitor = parse_monitor(config.table("early_stop"));
  return training;
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

CheckpointConfig parse_checkpoint(const Config& config) {
  CheckpointConfig checkpoint;
  checkpoint.resume = config.get<bool>("resume");
  checkpoint.max_to_keep = config.get<std::int64_t>("max_to_keep");
  if (config.has("pretrained")) checkpoint.pretrained = non_empty(config, "pretrained");
  flatten_mapping(config.table("pretrained_state_mapping"), "",
                  checkpoint.pretrained_state_mapping);
  checkpoint.pretrained_resize_positions = config.get<bool>("pretrained_resize_positions");
  return checkpoint;
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
  run.dataset = root.get<std::string>("dataset");
  run.run_type = RunType::parse(root);
  run.training = parse_training(root.table("training"));
  run.optimizer = parse_optimizer(root, run.run_type);
  run.scheduler = parse_scheduler(root);
  run.evaluation.metrics = root.typed_list("evaluation.metrics");
  run.evaluation.predict = root.get<bool>("evaluation.predict");
  run.checkpoint = parse_checkpoint(root.table("checkpoint"));
  run.env.data_dir = non_empty(root, "env.data_dir");
  run.env.save_dir = writable_path(root, "env.save_dir");
  run.model_config = root.table(concat("model_config.", run.model));
  run.dataset_config = root.table(concat("dataset_config.", run.dataset));
  return run;
}

void RunConfig::warn_of_no_effect(const Config& root) const {
  if (!training.max_grad_l2_norm && was_set(root, "training.max_grad_l2_norm")) {
    log::warning(
        "[config] training.max_grad_l2_norm has no effect, because training.clip_gradients is "
        "false");
  }
  if (training.max_epochs && was_set(root, "training.max_updates")) {
    log::warning("[config] training.max_epochs = ", *training.max_epochs,
                 " wins over training.max_updates = ", training.max_updates,
                 "; to train for less, lower training.max_epochs, which may be a fraction");
  }
  if (!scheduler && was_set(root, "scheduler.type")) {
    log::warning("[config] scheduler.type = \"", root.get<std::string>("scheduler.type"),
                 "\" has no effect, because training.lr_scheduler is false");
  }
  if (!checkpoint.pretrained &&
      (!checkpoint.pretrained_state_mapping.empty() || checkpoint.pretrained_resize_positions)) {
    log::warning(
        "[config] checkpoint.pretrained_state_mapping and pretrained_resize_positions have no "
        "effect, because checkpoint.pretrained is not set");
  }
}

}  // namespace pergola::host
