// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/session.h"

#include "host/checkpoint/names.h"
#include "host/checkpoint/pretrained.h"
#include "host/checkpoint/weights.h"
#include "host/data/loader.h"
#include "host/data/registration.h"
#include "host/device/autocast.h"
#include "host/device/device.h"
#include "host/model/builder.h"
#include "host/model/builtins.h"
#include "host/model/guard.h"
#include "host/support/file_ops.h"
#include "host/support/hash.h"
#include "host/support/log.h"
#include "host/train/predictions.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include <algorithm>
#include <list>

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

std::string dataset_hook(const char* hook, const std::string& name) {
  return concat(hook, " of data set '", name, "'");
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
  const PretrainedReport report =
      guarded("loading weights into model '" + config_.model + "'", [&] {
        return host::load_pretrained(
            *model_, *checkpoint.pretrained,
            {checkpoint.pretrained_state_mapping, checkpoint.pretrained_resize_positions,
             checkpoint.bypass_shape_mismatch, hugging_face_});
      });
  log::info("[pretrained] ", checkpoint.pretrained->string(), ": ", report.summary());
  if (!report.missing.empty()) {
    log::warning(
        "[pretrained] what is missing in the file begins with values that the model gives it:",
        report.table);
  }
  warn_of_words(*checkpoint.pretrained);
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

EvaluationInput Session::evaluation_input(const std::string& split) {
  SplitEvaluation& parts = evaluations_[split];
  if (parts.metrics == nullptr) {
    parts.loaders = data_.evaluation_batches(split, pin_memory());
    parts.metrics = metrics();
  }
  EvaluationInput input{*model_, {}, *parts.metrics, device_};
  for (const auto& loader : parts.loaders) input.loaders.push_back(loader.get());
  input.step = split == "test" ? Step::kTest : Step::kValidation;
  input.precision = config_.training.precision;
  input.use_cpu = config_.evaluation.use_cpu;
  return input;
}

Session::Evaluation Session::evaluate(const std::string& split,
                                      const std::filesystem::path& predictions,
                                      const EvaluationHooks& hooks) {
  EvaluationInput input = evaluation_input(split);
  input.hooks = hooks;
  Evaluation result;
  if (predictions.empty()) {
    result.numbers = host::evaluate(input);
    return result;
  }
  std::map<std::string, std::list<PredictionWriter>> writers;  // of each data set
  for (const auto& loader : evaluations_.at(split).loaders) {
    const std::string& name = loader->options().dataset_name;
    writers[name].emplace_back(predictions / concat(name, "_", split, ".json"));
    const std::filesystem::path table = predictions / concat(name, "_", split, ".csv");
    if (config_.evaluation.predict_csv) {
      writers[name].emplace_back(table);
    } else {
      static_cast<void>(remove_file(table));  // of an earlier evaluation, which this one replaces
    }
  }
  result.numbers = host::evaluate(input, [&](const Report& report) {
    const std::vector<Value> rows = checked_rows(split, report);
    for (PredictionWriter& writer : writers.at(report.batch.dataset_name())) writer.write(rows);
  });
  for (const auto& loader : evaluations_.at(split).loaders) {
    for (PredictionWriter& writer : writers.at(loader->options().dataset_name)) {
      const std::size_t rows = writer.finish();
      log::info("[predict] ", rows, " rows in ", writer.path().string());
      result.files.push_back(writer.path());
    }
  }
  return result;
}

// -inf takes an answer out. NaN and +inf, wherever in a row, are refused, and so is -inf in all of
// it: there is no answer then.
void Session::check_scores(const at::Tensor& scores) const {
  if (!scores.defined() || scores.numel() == 0) return;
  const at::Tensor best = scores.amax(-1);
  const at::Tensor bad = best.isfinite().logical_not();
  const auto count = bad.sum().item<std::int64_t>();
  if (count == 0) return;
  throw Error(ErrorKind::kNan, "the scores of model '", config_.model,
              "' are not finite numbers: ", "the highest is ",
              best.masked_select(bad)[0].item<double>(), " in ", count, " of ", best.numel(),
              best.numel() == 1 ? " sample" : " samples of a batch", ", with the weights of ",
              weights_.string(), "; look for nan and inf in the input ",
              "(features above all), and in these weights: a checkpoint from before the losses ",
              "grew may be sound");
}

std::vector<Value> Session::checked_rows(const std::string& split, const Report& report) {
  check_scores(report.output.scores);
  return rows_of(split, report);
}

std::vector<Value> Session::rows_of(const std::string& split, const Report& report) {
  const std::string& name = report.batch.dataset_name();
  const Dataset& data = data_.evaluated(name, split);
  std::vector<Value> rows = guarded(dataset_hook("format_for_prediction()", name),
                                    [&] { return data.format_for_prediction(report); });
  return guarded("format_for_prediction() of model '" + config_.model + "'",
                 [&] { return model_->format_for_prediction(std::move(rows), report); });
}

void Session::predict(const Dataset& samples, const RowVisitor& visit) {
  LoaderOptions options;
  options.dataset_name = config_.dataset;
  options.dataset_type = "test";
  DataLoader batches(samples, options);
  MetricList no_metrics({}, registry_);
  EvaluationInput input{*model_, {&batches}, no_metrics, device_, Step::kTest};
  input.precision = config_.training.precision;
  static_cast<void>(host::evaluate(
      input, [&](const Report& report) { visit(checked_rows("test", report), report); }));
}

at::Tensor Session::probabilities(const at::Tensor& scores) {
  return guarded(dataset_hook("probabilities()", config_.dataset),
                 [&] { return dataset("test").probabilities(scores); });
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
