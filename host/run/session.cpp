// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/session.h"

#include "host/data/registration.h"
#include "host/device/device.h"
#include "host/model/builder.h"
#include "host/model/builtins.h"
#include "host/support/hash.h"
#include "host/support/log.h"
#include "host/train/predictions.h"
#include "pergola/error.h"

#include <ATen/Context.h>

namespace pergola::host {
namespace {

c10::Device prepare_device(const TrainingConfig& config) {
  // The first CUDA call comes before any plugin: CUDA calls dlopen itself, and the two locks of the
  // loader can deadlock.
  const c10::Device device = select_device(config.device);
  prepare_cpu(config.num_threads);
  log::info("[device] ", describe_device(device));
  return device;
}

// A key that the config names, and where.
struct Wanted {
  Kind kind;
  std::string key;
  std::string where;
};

void add(Kind kind, const std::vector<TypedConfig>& list, std::vector<Wanted>& wanted) {
  for (const TypedConfig& entry : list) wanted.push_back({kind, entry.type, entry.where});
}

std::vector<Wanted> wanted_keys(const RunConfig& config) {
  std::vector<Wanted> wanted = {{Kind::kModel, config.model, "model"},
                                {Kind::kDataset, config.dataset, "dataset"}};
  add(Kind::kLoss, config.model_config.typed_list("losses"), wanted);
  for (const auto& [name, value] : config.dataset_config.table("processors").value().as_table()) {
    const TypedConfig processor = config.dataset_config.table("processors").typed(name);
    wanted.push_back({Kind::kProcessor, processor.type, processor.where});
  }
  add(Kind::kMetric, config.evaluation.metrics, wanted);
  add(Kind::kCallback, config.training.callbacks, wanted);
  if (config.optimizer)
    wanted.push_back({Kind::kOptimizer, config.optimizer->type, "optimizer.type"});
  if (config.scheduler)
    wanted.push_back({Kind::kScheduler, config.scheduler->type, "scheduler.type"});
  return wanted;
}

}  // namespace

void publish_builtins(Registry& registry) {
  registry.publish(builtin_data(), "host");
  registry.publish(builtin_model_parts(), "host");
}

Session::Session(RunConfig config, const PluginCatalog& catalog)
    : config_(std::move(config)), device_(prepare_device(config_.training)), loader_(registry_) {
  publish_builtins(registry_);
  load_plugins(catalog);
}

// Only the plugins that the config needs. Every key is looked up here, before any data is read.
void Session::load_plugins(const PluginCatalog& catalog) {
  for (const Wanted& wanted : wanted_keys(config_)) {
    if (!registry_.has(wanted.kind, wanted.key)) {
      const PluginFile* file = catalog.find(kind_name(wanted.kind), wanted.key);
      if (file != nullptr) loader_.load(file->path);
    }
    registry_.require(wanted.kind, wanted.key, wanted.where);
  }
  for (const LoadedPlugin* plugin : loader_.loaded()) {
    log::info("[plugin] ", plugin->manifest.name, " ", plugin->manifest.version, " from ",
              plugin->path.string());
  }
}

void Session::build_model(const std::string& split, std::int64_t seed) {
  const Value facts = dataset(split).facts();
  at::manual_seed(static_cast<std::uint64_t>(seed));
  model_ = host::build_model(registry_, config_.model, config_.model_config, facts);
  model_->to(device_);
}

void Session::load_weights(const CheckpointContent& content) {
  check_identity(content.state);
  model_->load_state_dict(content.model, Strict::kYes);
  const Value* extras = content.state.find("extras");
  if (extras != nullptr) model_->on_load_checkpoint(*extras);
}

const Dataset& Session::dataset(const std::string& split) {
  std::unique_ptr<Dataset>& slot = datasets_[split];
  if (slot == nullptr) {
    const DatasetOptions options{config_.dataset, split, config_.dataset_config,
                                 config_.env.data_dir, registry_};
    slot = registry_.make_dataset(options, "dataset");
    log::info("[data] ", config_.dataset, " ", split, ": ", slot->size(), " samples");
  }
  return *slot;
}

std::unique_ptr<DataLoader> Session::loader(const std::string& split, std::uint64_t seed) {
  const TrainingConfig& training = config_.training;
  LoaderOptions options;
  options.dataset_name = config_.dataset;
  options.dataset_type = split;
  options.batch_size = training.batch_size;
  options.shuffle = split == "train" ? Shuffle::kYes : Shuffle::kNo;
  options.num_workers = training.num_workers;
  options.seed = seed;
  const bool pin = training.pin_memory && device_.is_cuda();
  options.pin_memory = pin ? PinMemory::kYes : PinMemory::kNo;
  return std::make_unique<DataLoader>(dataset(split), options);
}

Numbers Session::evaluate(const std::string& split, const std::filesystem::path& predictions) {
  const std::unique_ptr<DataLoader> batches = loader(split, /*seed=*/0);
  MetricList metrics(config_.evaluation.metrics, registry_);
  const Step step = split == "test" ? Step::kTest : Step::kValidation;
  const EvaluationInput input{*model_, *batches, metrics, device_, step};
  if (predictions.empty()) return host::evaluate(input);
  PredictionWriter writer(predictions);
  const Numbers numbers = host::evaluate(input, [&](const Report& report) {
    writer.write(
        model_->format_for_prediction(dataset(split).format_for_prediction(report), report));
  });
  log::info("[predict] ", writer.finish(), " rows in ", predictions.string());
  return numbers;
}

Value Session::plugin_identity() const {
  const std::string& file = registry_.library(Kind::kModel, config_.model);
  Value plugin{Value::Table{}};
  for (const LoadedPlugin* loaded : loader_.loaded()) {
    if (loaded->path != file) continue;
    plugin["name"] = loaded->manifest.name;
    plugin["version"] = loaded->manifest.version;
    plugin["file"] = loaded->path.string();
    plugin["sha256"] = sha256_file(loaded->path, ErrorKind::kPlugin);
  }
  return plugin;
}

Value Session::identity(const std::string& config_text) const {
  return Value::Table{{"model", config_.model},
                      {"dataset", config_.dataset},
                      {"config", config_text},
                      {"plugin", plugin_identity()}};
}

void Session::check_identity(const Value& state) const {
  const Value* model = state.find("model");
  if (model == nullptr || *model == Value(config_.model)) return;
  throw Error(ErrorKind::kCheckpoint, "the checkpoint is of model ", to_string(*model),
              ", the config asks for '", config_.model,
              "'; use a checkpoint of that model, or set model in the config");
}

}  // namespace pergola::host
