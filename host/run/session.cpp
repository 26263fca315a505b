// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/session.h"

#include "host/checkpoint/names.h"
#include "host/checkpoint/pretrained.h"
#include "host/checkpoint/store.h"
#include "host/checkpoint/weights.h"
#include "host/data/device_feed.h"
#include "host/data/registration.h"
#include "host/device/autocast.h"
#include "host/device/cuda.h"
#include "host/device/device.h"
#include "host/device/device_failure.h"
#include "host/device/gpu_report.h"
#include "host/device/memory.h"
#include "host/device/out_of_memory.h"
#include "host/device/process_state.h"
#include "host/model/builder.h"
#include "host/model/builtins.h"
#include "host/model/guard.h"
#include "host/support/hash.h"
#include "host/support/log.h"
#include "host/support/printable.h"
#include "host/train/weight_average.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include <algorithm>

namespace pergola::host {
namespace {

c10::Device prepare_device(const RunConfig& run) {
  const TrainingConfig& config = run.training;
  set_memory_settings(MemorySettings::of(run));
  if (config.detect_anomaly) tell_device_errors_at_once();
  set_deterministic(config.deterministic, config.cudnn_benchmark);  // before cuBLAS starts
  // The first CUDA call comes before any plugin: CUDA calls dlopen itself, and the two locks of the
  // loader can deadlock.
  if (!config.fused_kernels) leave_out_kernels();
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
  if (device.is_cuda()) {
    set_allocator(config.cuda_allocator);
    log::info("[device] ", device.str(), ": ", describe_gpu(device.index()));
  }
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

// The part of a version within which weights are the same unless the model says otherwise, as
// semantic versioning has it: "2" of 2.1.0, "0.3" of 0.3.1.
std::string series_of(const std::string& version) {
  const std::size_t first = version.find('.');
  if (version.substr(0, first) != "0" || first == std::string::npos)
    return version.substr(0, first);
  return version.substr(0, version.find('.', first + 1));
}

// The weights, of which there are two where an average is saved, and the extras.
bool migrate_state(const BaseModel& model, const std::string& from, CheckpointContent& content) {
  StateDict own = content.model;
  StateDict trainer = content.trainer;
  const bool has_average = !take_average(own, trainer).empty();
  // What the two share is to be changed once in each.
  if (has_average) {
    for (auto& [name, tensor] : own) tensor = tensor.clone();
  }
  Value extras{Value::Table{}};
  if (const Value* saved = content.state.find("extras")) extras = *saved;
  Value again = extras;
  if (!model.migrate_state(from, content.model, extras)) return false;
  content.state["extras"] = std::move(extras);
  if (!has_average) return true;
  static_cast<void>(model.migrate_state(from, own, again));
  put_own_weights(own, trainer);
  content.trainer = std::move(trainer);
  return true;
}

}  // namespace

void publish_builtins(Registry& registry) {
  registry.publish(builtin_data(), "host");
  registry.publish(builtin_model_parts(), "host");
}

void install_weight_reader(const HuggingFaceFormat* format) {
  format_of_reader = format;
  set_weight_reader(read_own_weights);
}

const LoadedPlugin& load_watched(PluginLoader& loader, const std::filesystem::path& file) {
  const ProcessState before = ProcessState::now();
  const LoadedPlugin& plugin = loader.load(file);
  const std::vector<std::string> changes = before.changes(ProcessState::now());
  if (changes.empty()) return plugin;
  throw Error(ErrorKind::kPlugin, "plugin ", plugin.manifest.name, " (",
              printable(plugin.path.string()), ") changes ", printable(join(changes)),
              " while it is loaded, and the whole process shares that; static constructors must "
              "leave it alone");
}

Session::Session(RunConfig config, const PluginCatalog& catalog)
    : config_(std::move(config)),
      unfit_(try_wanted_plugins(config_, catalog)),
      device_(prepare_device(config_)),
      loader_(registry_, catalog.policy()),
      data_(config_, registry_) {
  StateWatch::enable(config_.check_state);
  publish_builtins(registry_);
  load_plugins(catalog);
}

void Session::load(const PluginFile& file) {
  const auto unfit = unfit_.find(file.path);
  if (unfit != unfit_.end()) throw Error(ErrorKind::kPlugin, unfit->second);
  load_watched(loader_, file.path);
}

// Only the plugins that the config needs. Every key is looked up here, before any data is read.
void Session::load_plugins(const PluginCatalog& catalog) {
  for (const WantedKey& wanted : wanted_keys(config_)) {
    if (!registry_.has(wanted.kind, wanted.key)) {
      const PluginFile* file = catalog.find(kind_name(wanted.kind), wanted.key);
      if (file != nullptr) load(*file);
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
  install_weight_reader(hugging_face_);
  plugin_ = plugin_identity();  // now: who rebuilds the file during a run does not change the run
}

void Session::build_model(const std::string& split, std::int64_t seed) {
  recorded_forward_.reset();  // of a model that was here before, as the next
  splitter_.reset();
  facts_ = data_.facts(split);
  const Value facts = merge_facts(facts_, config_.model_config);
  at::manual_seed(static_cast<std::uint64_t>(seed));
  if (config_.run_type.train) data_.warn_of_other_words(split);
  model_ = host::build_model(registry_, config_.model, config_.model_config, facts);
  guarded(Hook{"to(device)", "model", config_.model}, [&] { model_->to(device_); });
}

void Session::migrate(CheckpointContent& content) const {
  const LoadedPlugin* plugin = model_plugin();
  const Value* name = content.state.find("plugin.name");
  const Value* version = content.state.find("plugin.version");
  if (plugin == nullptr || name == nullptr || version == nullptr || !version->is_string()) return;
  const PluginManifest& manifest = plugin->manifest;
  const std::string from = version->as_string();
  if (*name != Value(manifest.name)) {
    log::warning("[checkpoint] saved by plugin ", to_string(*name), ", loaded by plugin '",
                 manifest.name,
                 "', which has a model of the same name; if the answers are not as "
                 "expected, use the one that it was trained with");
    return;
  }
  if (from == manifest.version) return;
  const bool is_known = guarded(Hook{"migrate_state()", "model", config_.model},
                                [&] { return migrate_state(*model_, from, content); });
  if (!is_known && series_of(from) != series_of(manifest.version)) {
    throw Error(ErrorKind::kCheckpoint, "the checkpoint was saved by ", from, " of plugin '",
                manifest.name, "', this is ", manifest.version, ", and migrate_state() of model '",
                config_.model, "' does not know that version; use the plugin's version ", from,
                ", or begin with the weights that fit: checkpoint.pretrained");
  }
  log::info("[checkpoint] saved by ", from, " of plugin '", manifest.name, "', loaded by ",
            manifest.version, is_known ? ", whose migrate_state() brought it over" : "");
}

void Session::load_weights(CheckpointContent content, const std::filesystem::path& folder) {
  check_identity(content.state);
  weights_ = folder;
  migrate(content);
  guarded(Hook{"load_state_dict()", "model", config_.model},
          [&] { model_->load_state_dict(std::move(content.model), Strict::kYes); });
  const Value* extras = content.state.find("extras");
  if (extras == nullptr) return;
  guarded(Hook{"on_load_checkpoint()", "model", config_.model},
          [&] { model_->on_load_checkpoint(*extras); });
}

std::vector<std::string> Session::load_pretrained() {
  const CheckpointConfig& checkpoint = config_.checkpoint;
  if (!checkpoint.pretrained) return {};
  const std::filesystem::path weights = checkpoint_at(*checkpoint.pretrained);
  const PretrainedReport report = guarded(Hook{"loading the weights", "model", config_.model}, [&] {
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
  return report.missing;
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

BatchTransfer Session::batch_transfer() {
  BatchTransfer transfer;
  const bool pins = config_.training.pin_memory && device_.is_cuda();
  transfer.pin_memory = pins ? PinMemory::kYes : PinMemory::kNo;
  transfer.prepare = [this](SampleList& batch) { model_->on_before_batch_transfer(batch); };
  transfer.prepare_hook = {"on_before_batch_transfer()", "model", config_.model};
  return transfer;
}

std::unique_ptr<BatchSource> Session::training_batches(std::uint64_t seed) {
  std::unique_ptr<BatchSource> batches = data_.training_batches(seed, batch_transfer());
  if (device_.is_cpu()) return batches;
  return std::make_unique<DeviceFeed>(std::move(batches), device_);
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
    plugin["sha256"] = loaded->sha256;
    for (const auto& [field, value] : host_fingerprint()) plugin["fingerprint"][field] = value;
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
