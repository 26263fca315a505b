// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/run_checks.h"

#include "host/config/toml.h"
#include "host/data/iteration_strategy.h"
#include "host/support/log.h"
#include "host/train/evaluation.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>

namespace pergola::host {
namespace {

constexpr std::string_view kHostCallbacks[] = {"profile",     "unfreeze",   "nan_guard",
                                               "spike_guard", "logging",    "tensorboard",
                                               "progress",    "early_stop", "checkpoint"};

// What decides which samples make an update, and what is done with their gradients.
constexpr std::string_view kOptimizerType = "optimizer.type";
constexpr std::string_view kFixedKeys[] = {
    "training.update_frequency", "training.limit_train_batches",
    "training.overfit_batches",  "training.freeze",
    "training.unfreeze",         kOptimizerType};

// "training.seed = 7 (it was 1234)" when the two differ.
void compare(const std::string& name, const Value* saved, const Value* now,
             std::vector<std::string>& differences) {
  if (saved == nullptr || now == nullptr || *saved == *now) return;
  differences.push_back(concat(name, " = ", to_string(*now), " (it was ", to_string(*saved), ")"));
}

void compare_batch_sizes(const Value& saved, const Value& now,
                         std::vector<std::string>& differences) {
  const char* const key = batch_size_key(now);
  compare(key, saved.find(batch_size_key(saved)), now.find(key), differences);
}

Value value_of(const Value& config, const char* key, const Value& fallback) {
  const Value* value = config.find(key);
  return value == nullptr ? fallback : *value;
}

// A schedule that comes, goes or becomes another one has not seen what the old one has.
void compare_schedulers(const Value& saved, const Value& now,
                        std::vector<std::string>& differences) {
  const Value none(false);
  const Value was_on = value_of(saved, "training.lr_scheduler", none);
  const Value is_on = value_of(now, "training.lr_scheduler", none);
  compare("training.lr_scheduler", &was_on, &is_on, differences);
  if (was_on == none || is_on == none) return;
  const char* const keys[][2] = {{"scheduler.type", "pythia"}, {"scheduler.interval", "update"}};
  for (const auto& [key, fallback] : keys) {
    const Value old_value = value_of(saved, key, fallback);
    const Value value = value_of(now, key, fallback);
    compare(key, &old_value, &value, differences);
  }
}

// sgd keeps nothing without momentum, so that its state cannot say that there was none.
void compare_momentum(const Value& saved, const Value& now, std::vector<std::string>& differences) {
  if (value_of(now, "optimizer.type", "") != Value("sgd")) return;
  const Value old_value = value_of(saved, "optimizer.params.momentum", 0);
  const Value value = value_of(now, "optimizer.params.momentum", 0);
  const auto is_none = [](const Value& momentum) {
    return momentum == Value(0) || momentum == Value(0.0);
  };
  if (is_none(old_value) == is_none(value)) return;
  compare("optimizer.params.momentum", &old_value, &value, differences);
}

bool is_number(const Value& value) {
  return value.type() == Value::Type::kInteger || value.type() == Value::Type::kFloat;
}

// Of data sets that divide train. Parts can trade places, and the seed change, without another
// number of training samples. What is missing is 0: older programs gave nothing of train to test.
void compare_split_train(const Value& saved, const Value& now,
                         std::vector<std::string>& differences) {
  const Value* const tables = now.find("dataset_config");
  if (tables == nullptr || !tables->is_table()) return;
  for (const auto& [dataset, table] : tables->as_table()) {
    const std::string prefix = concat("dataset_config.", dataset, ".split_train");
    if (saved.find(prefix) == nullptr) continue;
    bool divides = false;
    for (const char* part : {"val", "test", "seed"}) {
      const std::string key = concat(prefix, ".", part);
      const Value old_value = value_of(saved, key.c_str(), 0);
      const Value value = value_of(now, key.c_str(), 0);
      if (!is_number(old_value) || !is_number(value)) continue;
      const bool is_used = divides || part != std::string_view("seed");
      divides = divides || old_value.as_float() > 0 || value.as_float() > 0;
      if (!is_used || old_value.as_float() == value.as_float()) continue;
      compare(key, &old_value, &value, differences);
    }
  }
}

// Of runs on several data sets.
void compare_turns(const Value& saved, const Value& now, std::vector<std::string>& differences) {
  const std::pair<const char*, Value> keys[] = {{"multitasking.enabled", true},
                                                {"multitasking.type", "size_proportional"},
                                                {"multitasking.params", Value::Table{}}};
  for (const auto& [key, fallback] : keys) {
    const Value old_value = value_of(saved, key, fallback);
    const Value value = value_of(now, key, fallback);
    compare(key, &old_value, &value, differences);
  }
}

Value config_of(const Value& identity) {
  const Value* text = identity.find("config");
  if (text == nullptr) return Value(Value::Table{});
  return parse_toml(text->as_string(), "the config in state.json", ErrorKind::kCheckpoint);
}

// "data set a", "data sets a, b"
std::string named(const std::vector<std::string>& datasets) {
  return concat(datasets.size() == 1 ? "data set " : "data sets ", join(datasets, ", "));
}

// A word of `datasets` may be a mistake, or the config one for other data sets too.
void tell_left_out(const std::string& what, const TypedConfig& entry,
                   const std::vector<std::string>& datasets, const RunConfig& config) {
  const auto takes_part = [&](const std::string& dataset) { return is_for(datasets, dataset); };
  if (std::ranges::any_of(config.datasets, takes_part)) return;
  const bool one = config.datasets.size() == 1;
  log::warning("[run] ", what, " '", entry.type, "' (", entry.where, ") is for data set ",
               join(datasets, ", "), " alone and has no part in this run, whose ",
               one ? "data set is " : "data sets are ", join(config.datasets, ", "));
}

// The losses of the config that are for `dataset`.
std::vector<std::string> losses_of(const RunConfig& config, const std::string& dataset) {
  std::vector<std::string> losses;
  for (const TypedConfig& entry : config.model_config.typed_list("losses")) {
    if (is_for(LossConfig::parse(entry).datasets, dataset)) losses.push_back(entry.type);
  }
  return losses;
}

// A metric must not have the name of a loss of the same data set.
void check_metric_key(const TypedConfig& metric, const RunConfig& config) {
  const MetricConfig parsed = MetricConfig::parse(metric);
  tell_left_out("metric", metric, parsed.datasets, config);
  for (const std::string& dataset : config.datasets) {
    const std::vector<std::string> losses = losses_of(config, dataset);
    if (std::ranges::find(losses, parsed.key) == losses.end()) continue;
    throw Error(ErrorKind::kConfig, metric.where, ": the metric's key '", parsed.key,
                "' is the name of a loss, and their numbers would have one name; give it another "
                "one: {type = \"",
                metric.type, "\", key = \"...\"}");
  }
}

}  // namespace

void check_callbacks(const std::vector<TypedConfig>& callbacks) {
  for (auto entry = callbacks.begin(); entry != callbacks.end(); ++entry) {
    if (std::ranges::find(kHostCallbacks, entry->type) != std::end(kHostCallbacks)) {
      throw Error(ErrorKind::kConfig, entry->where, ": callback '", entry->type,
                  "' has the name of one that the host always adds; register it under another one");
    }
    const auto same = [&](const TypedConfig& earlier) { return earlier.type == entry->type; };
    if (std::any_of(callbacks.begin(), entry, same)) {
      throw Error(ErrorKind::kConfig, entry->where, " names the callback '", entry->type,
                  "' a second time; name it once");
    }
  }
}

void check_losses(const RunConfig& config, const BaseModel& model) {
  for (const TypedConfig& entry : config.model_config.typed_list("losses")) {
    tell_left_out("loss", entry, LossConfig::parse(entry).datasets, config);
  }
  for (const TypedConfig& metric : config.evaluation.metrics) check_metric_key(metric, config);
  if (model.makes_losses()) return;
  const auto strategy = config.datasets.size() == 1
                            ? IterationStrategy()
                            : IterationStrategy::parse(config.multitasking, config.datasets);
  for (std::size_t i = 0; i < config.datasets.size(); ++i) {
    const std::string& dataset = config.datasets[i];
    if (!strategy.draws(i) || !losses_of(config, dataset).empty()) continue;
    throw Error(ErrorKind::kConfig, "there is nothing to train on: model_config.", config.model,
                ".losses names no loss for data set '", dataset,
                "', and the model does not say that it makes its own "
                "(makes_losses()); set losses = [\"logit_bce\"], or see `pergola list losses`");
  }
}

std::string why_nothing_is_measured(const RunConfig& config, const std::string& split,
                                    std::int64_t samples) {
  const TrainingConfig& training = config.training;
  const std::string data = concat("the ", split, " split of ", named(config.datasets));
  if (samples == 0) return data + " is empty";
  const bool is_val = split == "val";
  const BatchLimit& limit = is_val ? training.limit_val_batches : training.limit_test_batches;
  if (limit.is_zero() && !(is_val && training.overfit_batches > 0)) {
    return concat("training.limit_", split, "_batches = 0 leaves nothing of ", data);
  }
  return data +
         " gives no loss and no metric (without targets there are those losses alone that "
         "the model makes itself)";
}

void check_first_validation(const RunConfig& config, const Numbers& first, std::int64_t samples) {
  if (first.empty()) {
    log::warning("[run] there is nothing to measure in the validation, and so no best checkpoint: ",
                 why_nothing_is_measured(config, "val", samples),
                 "; after training the last checkpoint is evaluated");
    return;
  }
  const std::string& criteria = config.training.monitor.criteria;
  const auto total = first.find("val/total_loss");
  if (config.training.nan_guard.enabled && total != first.end() && !std::isfinite(total->second)) {
    std::vector<std::string> bad;
    for (const auto& [key, number] : first) {
      if (!std::isfinite(number)) bad.push_back(key);
    }
    throw Error(ErrorKind::kNan, "not a finite number in the first validation batch, before any ",
                "training: ", join(bad),
                "; either the data or the model's initial scores are not finite, or the loss does "
                "not fit them (bce needs probabilities, logit_bce any scores; see `pergola list "
                "losses`); training.exit_on_nan_losses = false goes on all the same");
  }
  if (first.contains(criteria)) return;
  std::vector<std::string> known;
  for (const auto& [key, number] : first) known.push_back(key);
  throw Error(ErrorKind::kConfig, "training.early_stop.criteria asks for ", criteria,
              ", which the validation does not have", did_you_mean(criteria, known));
}

void check_continuation(const Value& saved, const Value& now, bool new_optimizer) {
  std::vector<std::string> differences;
  compare("dataset", saved.find("dataset"), now.find("dataset"), differences);
  const Value saved_config = config_of(saved);
  const Value config = config_of(now);
  compare_batch_sizes(saved_config, config, differences);
  for (const std::string_view key : kFixedKeys) {
    if (new_optimizer && key == kOptimizerType) continue;
    compare(std::string(key), saved_config.find(key), config.find(key), differences);
  }
  if (!saved_config.as_table().empty()) {
    compare_schedulers(saved_config, config, differences);
    compare_split_train(saved_config, config, differences);
    if (!new_optimizer) compare_momentum(saved_config, config, differences);
    const Value* const datasets = now.find("dataset");
    if (datasets != nullptr && datasets->is_array()) {
      compare_turns(saved_config, config, differences);
    }
  }
  compare("training.seed", saved.find("seed"), now.find("seed"), differences);
  compare("the number of training samples", saved.find("train_samples"), now.find("train_samples"),
          differences);
  if (!differences.empty()) {
    throw Error(
        ErrorKind::kCheckpoint, "the run cannot be continued exactly with ",
        join(differences, ", "),
        "; resume it with the old values, or begin another run, in a folder of its own, from its "
        "weights: checkpoint.resume_file with checkpoint.reset.all = true");
  }
  const Value* old_file = saved.find("plugin.sha256");
  const Value* file = now.find("plugin.sha256");
  if (old_file == nullptr || file == nullptr || *old_file == *file) return;
  log::warning("[resume] the plugin ", now.find("plugin.file")->as_string(),
               " is another file than the one that the run began with: its SHA-256 is ",
               file->as_string(), ", it was ", old_file->as_string());
}

}  // namespace pergola::host
