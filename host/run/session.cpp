// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/session.h"

#include "host/checkpoint/names.h"
#include "host/checkpoint/pretrained.h"
#include "host/checkpoint/store.h"
#include "host/checkpoint/weights.h"
#include "host/data/registration.h"
#include "host/device/autocast.h"
#include "host/device/device.h"
#include "host/model/builder.h"
#include "host/model/builtins.h"
#include "host/model/guard.h"
#include "host/support/hash.h"
#include "host/support/log.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include <algorithm>

namespace pergola::host {
namespace {

c10::Device prepare_device(const TrainingConfig& config) {
  set_deterministic(config.deterministic, config.cudnn_benchmark);  // before cuBLAS starts
  // The first CUDA call comes before any plugin: CUDA calls dlopen itself, and the two locks of the
  // loader can deadlock.
  const c10::Device device = select_device(config.device);
  prepare_cpu(config.num_threads);
  apply_precision(config.precision, device);
  if (config.precision == Precision::kTf32 && device.is_cpu()) {
    log::warning("[device] training.precision = \"tf32\" has no effect on the CPU");
  }
  if (config.precision == Precision::kFp16 && device.is_cpu()) {
    log::warning(
        "[device] training.precision = \"fp16\" is slow on the CPU; \"bf16\" is faster there");
  }
  log::info("[device] ", describe_device(device));
  return device;
}

// The SDK takes its reader of weights as a plain function, so what the model is called at Hugging
// Face stands beside it: of the process's one model, in a manifest that lives as long.
const HuggingFaceFormat* format_of_reader = nullptr;

StateDict read_own_weights(const std::string& path) {
  StateDict state = host::read_weights(path).state;
  if (format_of_reader == nullptr) return state;
  for (auto& [name, tensor] : state) name = own_name(*format_of_reader, name);
  return state;
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

// Losses, and those that a `multi` is made of.
void add_losses(const std::vector<TypedConfig>& list, std::vector<Wanted>& wanted) {
  add(Kind::kLoss, list, wanted);
  for (const TypedConfig& entry : list) {
    if (entry.type == "multi") add_losses(entry.params.typed_list("params"), wanted);
  }
}

std::vector<Wanted> wanted_keys(const RunConfig& config) {
  std::vector<Wanted> wanted = {{Kind::kModel, config.model, "model"}};
  for (const std::string& dataset : config.datasets) {
    wanted.push_back({Kind::kDataset, dataset, "dataset"});
  }
  add_losses(config.model_config.typed_list("losses"), wanted);
  for (const std::string& dataset : config.datasets) {
    const Config processors = config.dataset_configs.at(dataset).table("processors");
    for (const auto& [name, value] : processors.value().as_table()) {
      const TypedConfig processor = processors.typed(name);
      wanted.push_back({Kind::kProcessor, processor.type, processor.where});
    }
  }
  add(Kind::kMetric, config.evaluation.metrics, wanted);
  add(Kind::kCallback, config.training.callbacks, wanted);
  for (const TypedConfig& callback : config.training.callbacks) {
    callback.options.allow_only({"type", "params"});
  }
  if (config.optimizer)
    wanted.push_back({Kind::kOptimizer, config.optimizer->type, "optimizer.type"});
  if (config.scheduler)
    wanted.push_back({Kind::kScheduler, config.scheduler->type, "scheduler.type"});
  return wanted;
}

// A key that neither the host nor a plugin has. The suggestions are those of plugins that were not
// loaded too.
[[noreturn]] void refuse(const Wanted& wanted, const Registry& registry,
                         const PluginCatalog& catalog) {
  const std::string kind = kind_name(wanted.kind);
  std::vector<std::string> known = registry.keys(wanted.kind);
  const std::vector<std::string> offered = catalog.keys(kind);
  known.insert(known.end(), offered.begin(), offered.end());
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  throw Error(ErrorKind::kConfig, wanted.where, ": ", kind, " '", wanted.key, "' is not registered",
              did_you_mean(wanted.key, known), "; `pergola list ", kind,
              wanted.kind == Kind::kLoss ? "es" : "s", "` shows all");
}

}  // namespace

void publish_builtins(Registry& registry) {
  registry.publish(builtin_data(), "host");
  registry.publish(builtin_model_parts(), "host");
}

Session::Session(RunConfig config, const PluginCatalog& catalog)
    : config_(std::move(config)),
      device_(prepare_device(config_.training)),
      loader_(registry_),
      data_(config_, registry_) {
  publish_builtins(registry_);
  load_plugins(catalog);
  set_weight_reader(read_own_weights);
}

// Only the plugins that the config needs. Every key is looked up here, before any data is read.
void Session::load_plugins(const PluginCatalog& catalog) {
  for (const Wanted& wanted : wanted_keys(config_)) {
    if (!registry_.has(wanted.kind, wanted.key)) {
      const PluginFile* file = catalog.find(kind_name(wanted.kind), wanted.key);
      if (file != nullptr) loader_.load(file->path);
    }
    if (!registry_.has(wanted.kind, wanted.key)) refuse(wanted, registry_, catalog);
  }
  for (const LoadedPlugin* plugin : loader_.loaded()) {
    log::info("[plugin] ", plugin->manifest.name, " ", plugin->manifest.version, " from ",
              plugin->path.string());
  }
  if (const LoadedPlugin* plugin = model_plugin()) {
    const auto& format = plugin->manifest.models.at(config_.model).hugging_face;
    hugging_face_ = format ? &*format : nullptr;
  }
  format_of_reader = hugging_face_;
  plugin_ = plugin_identity();  // now: who rebuilds the file during a run does not change the run
}

void Session::build_model(const std::string& split, std::int64_t seed) {
  facts_ = data_.facts(split);
  const Value facts = merge_facts(facts_, config_.model_config);
  at::manual_seed(static_cast<std::uint64_t>(seed));
  if (config_.run_type.train) data_.warn_of_other_words(split);
  model_ = host::build_model(registry_, config_.model, config_.model_config, facts);
  guarded("moving model '" + config_.model + "' to the device", [&] { model_->to(device_); });
}

void Session::load_weights(const CheckpointContent& content, const std::filesystem::path& folder) {
  check_identity(content.state);
  weights_ = folder;
  guarded("load_state_dict() of model '" + config_.model + "'",
          [&] { model_->load_state_dict(content.model, Strict::kYes); });
  const Value* extras = content.state.find("extras");
  if (extras == nullptr) return;
  guarded("on_load_checkpoint() of model '" + config_.model + "'",
          [&] { model_->on_load_checkpoint(*extras); });
}

void Session::load_pretrained() {
  const CheckpointConfig& checkpoint = config_.checkpoint;
  if (!checkpoint.pretrained) return;
  const std::filesystem::path weights = checkpoint_at(*checkpoint.pretrained);
  const PretrainedReport report =
      guarded("loading weights into model '" + config_.model + "'", [&] {
        return host::load_pretrained(
            *model_, weights,
            {checkpoint.pretrained_state_mapping, checkpoint.pretrained_resize_positions,
             checkpoint.bypass_shape_mismatch, hugging_face_});
      });
  log::info("[pretrained] ", weights.string(), ": ", report.summary());
  if (!report.missing.empty()) {
    log::warning(
        "[pretrained] what is missing in the file begins with values that the model gives it:",
        report.table);
  }
  warn_of_words(weights);
}

// Of a checkpoint whose data had other words: to begin with its weights may be meant all the same.
void Session::warn_of_words(const std::filesystem::path& weights) {
  std::error_code ignored;
  if (!std::filesystem::exists(weights / kManifestFile, ignored)) return;
  const CheckpointContent content = load_checkpoint(weights, CheckpointParts::kState);
  try {
    data_.check_words(content.state, "train");
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kCheckpoint) throw;
    log::warning("[pretrained] ", error.what());
  }
}

void Session::restore_dataset(const std::string& dataset, const Value& state) {
  data_.restore(dataset, state);
}

void Session::check_data(const Value& state, const std::string& split) {
  data_.check_words(state, split);
}

const Dataset& Session::dataset(const std::string& split) {
  return data_.split(config_.dataset, split);
}

PinMemory Session::pin_memory() const {
  return config_.training.pin_memory && device_.is_cuda() ? PinMemory::kYes : PinMemory::kNo;
}

std::unique_ptr<BatchSource> Session::training_batches(std::uint64_t seed) {
  return data_.training_batches(seed, pin_memory());
}

std::unique_ptr<MetricList> Session::metrics() const {
  const std::vector<TypedConfig>& wanted = config_.evaluation.metrics;
  if (facts_.size() > 1) return std::make_unique<MetricList>(wanted, registry_, facts_);
  return std::make_unique<MetricList>(wanted, registry_, facts());
}

const LoadedPlugin* Session::model_plugin() const {
  const std::filesystem::path file = registry_.library(Kind::kModel, config_.model);
  const auto found = std::ranges::find(loader_.loaded(), file, &LoadedPlugin::path);
  return found == loader_.loaded().end() ? nullptr : *found;
}

Value Session::plugin_identity() const {
  Value plugin{Value::Table{}};
  if (const LoadedPlugin* loaded = model_plugin()) {
    plugin["name"] = loaded->manifest.name;
    plugin["version"] = loaded->manifest.version;
    plugin["file"] = loaded->path.string();
    plugin["sha256"] = sha256_file(loaded->path, ErrorKind::kPlugin);
  }
  return plugin;
}

Value Session::identity(const std::string& config_text) const {
  return Value::Table{{"model", config_.model},
                      {"dataset", dataset_value(config_)},
                      {"config", config_text},
                      {"plugin", plugin_}};
}

void Session::check_identity(const Value& state) const {
  const Value* model = state.find("model");
  if (model == nullptr || *model == Value(config_.model)) return;
  throw Error(ErrorKind::kCheckpoint, "the checkpoint is of model ", to_string(*model),
              ", the config asks for '", config_.model,
              "'; use a checkpoint of that model, or set model in the config");
}

}  // namespace pergola::host
