// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/run_data.h"

#include "host/data/multi_loader.h"
#include "host/model/guard.h"
#include "host/run/data_check.h"
#include "host/support/log.h"
#include "pergola/error.h"
#include "pergola/rng.h"
#include "pergola/suggest.h"

#include <algorithm>

namespace pergola::host {
namespace {

Hook hook_of_dataset(const char* hook, const std::string& dataset) {
  return {hook, "dataset", dataset};
}

std::int64_t size_of(const Dataset& data, const std::string& dataset) {
  return guarded(hook_of_dataset("size()", dataset), [&] { return data.size(); });
}

void take_larger(Value& fact, const Value& other) {
  if (fact.type() != Value::Type::kInteger || other.type() != Value::Type::kInteger) return;
  if (other.as_integer() > fact.as_integer()) fact = other;
}

}  // namespace

RunData::RunData(const RunConfig& config, const Registry& registry)
    : config_(config), registry_(registry) {
  if (several()) static_cast<void>(IterationStrategy::parse(config.multitasking, config.datasets));
}

std::unique_ptr<Dataset> RunData::make(const std::string& dataset, const std::string& split,
                                       const Value* state) const {
  const DatasetOptions options{
      dataset, split, config_.dataset_configs.at(dataset), config_.env.data_dir, registry_, state};
  Hook hook = hook_of_dataset("the constructor", dataset);
  hook.tail = " or of its processors";
  return guarded(hook, [&] { return registry_.make_dataset(options, "dataset"); });
}

const Dataset& RunData::split(const std::string& dataset, const std::string& split) {
  std::unique_ptr<Dataset>& slot = splits_[{dataset, split}];
  if (slot == nullptr) {
    std::unique_ptr<Dataset> made = make(dataset, split, /*state=*/nullptr);
    const std::int64_t size = size_of(*made, dataset);
    if (size < (split == "train" ? 1 : 0)) {
      throw Error(ErrorKind::kData, "data set '", dataset,
                  "' has no samples to train on (its size() is ", size,
                  "); look at dataset_config.", dataset, " and env.data_dir");
    }
    log::info("[data] ", dataset, " ", split, ": ", size, " samples");
    slot = std::move(made);
  }
  return *slot;
}

void RunData::read(const std::string& split) {
  for (const std::string& dataset : config_.datasets) {
    static_cast<void>(this->split(dataset, split));
  }
}

void RunData::restore(const std::string& dataset, const Value& state) {
  splits_[{dataset, "test"}] = make(dataset, "test", &state);
}

Value RunData::num_samples(const std::string& split) {
  Value sizes{Value::Table{}};
  for (const std::string& dataset : config_.datasets) {
    sizes[dataset] = size_of(this->split(dataset, split), dataset);
  }
  return several() ? sizes : sizes[config_.dataset];
}

Value RunData::state_of(const std::string& dataset, const std::string& split) {
  const Dataset& data = this->split(dataset, split);
  Value state =
      guarded(hook_of_dataset("state_dict()", dataset), [&] { return data.state_dict(); });
  if (state.is_null() || state.is_table()) return state;
  throw Error(ErrorKind::kPlugin, "state_dict() of data set '", dataset, "' is ", state.type_name(),
              "; expected a table, or null");
}

Value RunData::state(const std::string& split) {
  if (!several()) return state_of(config_.dataset, split);
  Value states{Value::Table{}};
  for (const std::string& dataset : config_.datasets) states[dataset] = state_of(dataset, split);
  return states;
}

void RunData::check_words(const Value& checkpoint, const std::string& split) {
  const Value* const data = checkpoint.find("data");
  if (data == nullptr) return;
  const bool by_name = datasets_of(checkpoint).size() > 1;
  if (!by_name && several()) {  // what it has is of its one data set
    const std::vector<std::string> saved = datasets_of(checkpoint);
    if (saved.empty() || std::ranges::find(config_.datasets, saved[0]) == config_.datasets.end())
      return;
    check_same_words(*data, state_of(saved[0], split), config_, saved[0]);
    return;
  }
  for (const std::string& dataset : config_.datasets) {
    const Value* const saved = by_name && data->is_table() ? data->find(dataset) : data;
    if (saved == nullptr) continue;
    check_same_words(*saved, state_of(dataset, split), config_, dataset);
  }
}

void RunData::warn_of_other_words(const std::string& split) {
  if (!several()) return;
  std::map<std::string, Value> states;
  for (const std::string& dataset : config_.datasets) {
    states.emplace(dataset, state_of(dataset, split));
  }
  host::warn_of_other_words(states);
}

std::map<std::string, Value> RunData::facts(const std::string& split) {
  std::map<std::string, Value> facts;
  for (const std::string& dataset : config_.datasets) {
    const Dataset& data = this->split(dataset, split);
    Value known = guarded(hook_of_dataset("facts()", dataset), [&] { return data.facts(); });
    if (!known.is_table()) {
      throw Error(ErrorKind::kPlugin, "facts() of data set '", dataset, "' is ", known.type_name(),
                  "; expected a table, such as {num_final_outputs = 2}");
    }
    facts.emplace(dataset, std::move(known));
  }
  return facts;
}

LoaderOptions RunData::options(const std::string& dataset, const std::string& split,
                               const BatchTransfer& transfer) const {
  LoaderOptions options;
  options.dataset_name = dataset;
  options.dataset_type = split;
  options.batch_size = config_.training.batch_size;
  options.num_workers = config_.training.num_workers;
  options.transfer = transfer;
  return options;
}

std::unique_ptr<BatchSource> RunData::training_batches(std::uint64_t seed,
                                                       const BatchTransfer& transfer) {
  const TrainingConfig& training = config_.training;
  const bool overfits = training.overfit_batches > 0;
  std::vector<BatchMaker> makers;
  for (std::size_t i = 0; i < config_.datasets.size(); ++i) {
    const std::string& dataset = config_.datasets[i];
    LoaderOptions wanted = options(dataset, "train", transfer);
    wanted.shuffle = overfits ? Shuffle::kNo : Shuffle::kYes;
    wanted.seed = i == 0 ? seed : Rng(seed, i).next();
    if (overfits) wanted.max_batches = training.overfit_batches;
    makers.emplace_back(split(dataset, "train"), wanted);
  }
  if (!several()) {
    LoaderOptions wanted = makers[0].options();
    if (!overfits) wanted.max_batches = training.limit_train_batches.of(makers[0].num_batches());
    return std::make_unique<DataLoader>(split(config_.dataset, "train"), wanted);
  }
  const auto strategy = IterationStrategy::parse(config_.multitasking, config_.datasets);
  auto loader = std::make_unique<MultiLoader>(
      makers, strategy, MultiLoaderOptions{.seed = seed, .num_workers = training.num_workers});
  if (!overfits) loader->limit(training.limit_train_batches.of(loader->num_batches()));
  log::info("[data] ", join(config_.datasets), " take turns by ", strategy.type(), ": ",
            loader->num_batches(), " batches an epoch");
  return loader;
}

const Dataset& RunData::evaluated(const std::string& dataset, const std::string& split) {
  const bool overfits = config_.training.overfit_batches > 0 && split == "val";
  return this->split(dataset, overfits ? "train" : split);
}

std::int64_t RunData::num_evaluated(const std::string& split) {
  std::int64_t sum = 0;
  for (const std::string& dataset : config_.datasets) {
    sum += size_of(evaluated(dataset, split), dataset);
  }
  return sum;
}

std::vector<std::unique_ptr<DataLoader>> RunData::evaluation_batches(
    const std::string& split, const BatchTransfer& transfer) {
  const TrainingConfig& training = config_.training;
  const bool overfits = training.overfit_batches > 0 && split == "val";
  const BatchLimit& limit =
      split == "val" ? training.limit_val_batches : training.limit_test_batches;
  std::vector<std::unique_ptr<DataLoader>> loaders;
  for (const std::string& dataset : config_.datasets) {
    const Dataset& data = evaluated(dataset, split);
    if (several() && size_of(data, dataset) == 0) {
      log::info("[data] ", dataset, " has no samples in its split ", split,
                "; it is not evaluated there");
      continue;
    }
    LoaderOptions wanted = options(dataset, split, transfer);
    wanted.max_batches =
        overfits ? training.overfit_batches : limit.of(BatchMaker(data, wanted).num_batches());
    loaders.push_back(std::make_unique<DataLoader>(data, wanted));
  }
  return loaders;
}

Value dataset_value(const RunConfig& config) {
  if (config.datasets.size() == 1) return Value(config.dataset);
  Value::Array names;
  for (const std::string& name : config.datasets) names.emplace_back(name);
  return Value(std::move(names));
}

std::vector<std::string> datasets_of(const Value& checkpoint) {
  const Value* const saved = checkpoint.find("dataset");
  if (saved == nullptr) return {};
  if (saved->is_string()) return {saved->as_string()};
  std::vector<std::string> names;
  if (!saved->is_array()) return names;
  for (const Value& name : saved->as_array()) {
    if (name.is_string()) names.push_back(name.as_string());
  }
  return names;
}

Value merge_facts(const std::map<std::string, Value>& facts, const Config& model_config) {
  Value merged{Value::Table{}};
  std::map<std::string, std::string> owners;
  for (const auto& [dataset, known] : facts) {
    for (const auto& [key, fact] : known.as_table()) {
      const auto [owner, is_new] = owners.try_emplace(key, dataset);
      Value& value = merged[key];
      if (is_new) value = fact;
      if (value == fact) continue;
      const Value* const given = model_config.value().find(key);
      if (given == nullptr || *given != Value(0)) {
        take_larger(value, fact);
        continue;
      }
      throw Error(ErrorKind::kConfig, "data sets '", owner->second, "' and '", dataset,
                  "' differ in ", key, ", which is ", to_string(value), " of the first and ",
                  to_string(fact), " of the second, so that ", model_config.path(), ".", key,
                  " = 0 can take over neither; set ", model_config.path(), ".", key,
                  " to a number that suits both, or let both have the same words and classes");
    }
  }
  return merged;
}

}  // namespace pergola::host
