// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/run_checks.h"

#include "host/config/toml.h"
#include "host/support/log.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace pergola::host {
namespace {

constexpr std::string_view kHostCallbacks[] = {"logging", "progress", "checkpoint"};

// What decides which samples make an update, and what is done with their gradients.
constexpr const char* kFixedKeys[] = {"training.batch_size", "training.update_frequency",
                                      "training.freeze", "optimizer.type"};

// "training.seed = 7 (it was 1234)" when the two differ.
void compare(const std::string& name, const Value* saved, const Value* now,
             std::vector<std::string>& differences) {
  if (saved == nullptr || now == nullptr || *saved == *now) return;
  differences.push_back(concat(name, " = ", to_string(*now), " (it was ", to_string(*saved), ")"));
}

Value config_of(const Value& identity) {
  const Value* text = identity.find("config");
  if (text == nullptr) return Value(Value::Table{});
  return parse_toml(text->as_string(), "the config in state.json", ErrorKind::kCheckpoint);
}

// The losses of the config that are for its data set.
std::vector<std::string> losses_of(const RunConfig& config) {
  std::vector<std::string> losses;
  for (const TypedConfig& entry : config.model_config.typed_list("losses")) {
    const std::vector<std::string> only = LossConfig::parse(entry).datasets;
    if (only.empty() || std::ranges::find(only, config.dataset) != only.end()) {
      losses.push_back(entry.type);
    }
  }
  return losses;
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
  const std::vector<std::string> losses = losses_of(config);
  for (const TypedConfig& metric : config.evaluation.metrics) {
    const std::string key = metric.options.get<std::string>("key", metric.type);
    if (std::ranges::find(losses, key) == losses.end()) continue;
    throw Error(ErrorKind::kConfig, metric.where, ": the metric's key '", key,
                "' is the name of a loss, and their numbers would have one name; give it another "
                "one: {type = \"",
                metric.type, "\", key = \"...\"}");
  }
  if (model.makes_losses() || !losses.empty()) return;
  throw Error(ErrorKind::kConfig, "there is nothing to train on: model_config.", config.model,
              ".losses names no loss for data set '", config.dataset,
              "', and the model does not say that it makes its own "
              "(makes_losses()); set losses = [\"logit_bce\"], or see `pergola list losses`");
}

void check_criteria(const RunConfig& config, const MetricList& metrics, const BaseModel& model) {
  const std::string prefix = "val/" + config.dataset + "/";
  std::vector<std::string> known = {"val/total_loss"};
  for (const auto& [key, number] : metrics.compute("val", config.dataset)) known.push_back(key);
  const std::string& criteria = config.training.monitor.criteria;
  for (const std::string& loss : losses_of(config)) {
    known.push_back(prefix + loss);
    if (criteria.starts_with(known.back() + "/")) return;  // a loss may have parts
  }
  if (std::ranges::find(known, criteria) != known.end()) return;
  // What all names have in common must not make them look alike.
  const auto own_part = [&](const std::string& key) {
    return key.substr(key.starts_with(prefix) ? prefix.size() : std::string_view("val/").size());
  };
  std::vector<std::string> parts;
  for (const std::string& key : known) parts.push_back(own_part(key));
  if (model.makes_losses() && closest(own_part(criteria), parts).empty()) return;
  throw Error(ErrorKind::kConfig, "training.early_stop.criteria asks for ", criteria,
              ", which the validation does not have", did_you_mean(criteria, known));
}

void check_continuation(const Value& saved, const Value& now) {
  std::vector<std::string> differences;
  compare("dataset", saved.find("dataset"), now.find("dataset"), differences);
  const Value saved_config = config_of(saved);
  const Value config = config_of(now);
  for (const char* key : kFixedKeys) {
    compare(key, saved_config.find(key), config.find(key), differences);
  }
  compare("training.seed", saved.find("seed"), now.find("seed"), differences);
  compare("the number of training samples", saved.find("train_samples"), now.find("train_samples"),
          differences);
  if (!differences.empty()) {
    throw Error(ErrorKind::kCheckpoint, "the run cannot be continued exactly with ",
                join(differences, ", "),
                "; resume it with the old values, or start anew with --overwrite");
  }
  const Value* old_file = saved.find("plugin.sha256");
  const Value* file = now.find("plugin.sha256");
  if (old_file == nullptr || file == nullptr || *old_file == *file) return;
  log::warning("[resume] the plugin ", now.find("plugin.file")->as_string(),
               " is another file than the one that the run began with: its SHA-256 is ",
               file->as_string(), ", it was ", old_file->as_string());
}

}  // namespace pergola::host
