// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/evaluation.h"

#include "host/data/device_feed.h"
#include "host/device/autocast.h"
#include "host/model/guard.h"
#include "host/support/signals.h"
#include "host/train/batch_parts.h"
#include "host/train/recorded_forward.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

namespace pergola::host {
namespace {

// Evaluation mode for a scope, and the old mode after it.
class EvaluationMode {
 public:
  explicit EvaluationMode(BaseModel& model) : model_(model), was_training_(model.is_training()) {
    model_.eval();
  }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;
  ~EvaluationMode() { model_.train(was_training_); }

 private:
  BaseModel& model_;
  bool was_training_;
};

// Sums of losses weighted by samples: the mean over the split, whatever its last batch's size.
class LossSums {
 public:
  void add(const LossMap& losses, std::int64_t samples) {
    for (const auto& [key, loss] : losses) {
      const at::Tensor sum = loss.mean().to(at::kDouble) * samples;
      Sum& total = sums_[key];
      total.value = total.value.defined() ? total.value + sum : sum;
      total.samples += samples;
    }
  }

  void read(const std::string& dataset_type, Numbers& numbers) const {
    double total = 0;
    for (const auto& [key, sum] : sums_) {
      numbers[key] = sum.value.item<double>() / static_cast<double>(sum.samples);
      total += numbers[key];
    }
    if (!sums_.empty()) numbers[dataset_type + "/total_loss"] = total;
  }

 private:
  struct Sum {
    at::Tensor value;
    std::int64_t samples = 0;  // of the batches that have this loss
  };
  std::map<std::string, Sum> sums_;
};

// `batch` as it was loaded, on the CPU, with the output there too.
Report to_report(SampleList batch, ModelOutput output) {
  return Report{std::move(batch), Report{{}, std::move(output)}.to(at::kCPU).output};
}

// Of metrics and predictions, float32 is what all can work with.
void widen(at::Tensor& scores) {
  if (!scores.defined()) return;
  if (scores.scalar_type() != at::kHalf && scores.scalar_type() != at::kBFloat16) return;
  scores = scores.to(at::kFloat);
}

// The model's step of one batch, as a value: what is recorded keeps it.
struct ModelStep {
  ModelStep(const EvaluationInput& input, std::int64_t number)
      : model(input.model),
        device(input.device),
        precision(input.precision),
        is_test(input.step == Step::kTest),
        index(number) {}

  [[nodiscard]] Hook hook() const {
    return {.name = is_test ? "test_step()" : "validation_step()",
            .kind = "model",
            .key = key_of(model),
            .batch = index};
  }
  ModelOutput operator()(const SampleList& batch) const {
    const AutocastScope autocast(device, precision);
    ModelOutput output = guarded(hook(), [&] {
      return is_test ? model.test_step(batch, index) : model.validation_step(batch, index);
    });
    widen(output.scores);
    return output;
  }

  BaseModel& model;
  c10::Device device;
  Precision precision;
  bool is_test;
  std::int64_t index;
};

// Whole batches may be replayed. Metrics and hooks may keep what they get, reports are copies.
ModelOutput run_whole(const EvaluationInput& input, const SampleList& batch,
                      const ModelStep& step) {
  if (input.recorded == nullptr) return step(batch);
  const bool is_kept = !input.use_cpu || input.hooks.on_batch_end;
  return input.recorded->run(
      batch, step.hook(), step,
      is_kept ? RecordedForward::Output::kOwn : RecordedForward::Output::kShared);
}

ModelOutput run_step(const EvaluationInput& input, const SampleList& batch, std::int64_t index) {
  const ModelStep step(input, index);
  if (input.splitter == nullptr) return run_whole(input, batch, step);
  return input.splitter->run(batch, [&](const SampleList& part) {
    return &part == &batch ? run_whole(input, batch, step) : step(part);
  });
}

// `entry` with what its params leave out and the data set knows.
TypedConfig with_facts(const TypedConfig& entry, const Registry& registry, const Value& facts) {
  registry.require(Kind::kMetric, entry.type, entry.where);
  const std::optional<ComponentSpec>& spec = registry.spec(Kind::kMetric, entry.type);
  if (!spec) return entry;
  Value params = entry.params.value();
  for (const ParamSpec& param : spec->params) {
    const Value* fact = facts.find(param.name);
    if (fact == nullptr || entry.params.has(param.name)) continue;
    params[param.name] = *fact;
    params[param.name].set_origin("data set");
  }
  TypedConfig filled = entry;
  filled.params = Config(std::move(params), entry.params.path());
  return filled;
}

// `type`: the metric's own name, where the user has another one for it.
Hook metric_hook(const char* hook, const std::string& key, const std::string& type) {
  return {.name = hook, .kind = "metric", .key = key, .type = type};
}

// Throws Error{kConfig} for a key that a metric before has.
std::vector<MetricConfig> parse_metrics(const std::vector<TypedConfig>& config) {
  std::vector<MetricConfig> metrics;
  for (const TypedConfig& entry : config) {
    MetricConfig metric = MetricConfig::parse(entry);
    if (std::ranges::find(metrics, metric.key, &MetricConfig::key) != metrics.end()) {
      throw Error(ErrorKind::kConfig, entry.where, " is a second metric with the key '", metric.key,
                  "'; give it another one: {type = \"", entry.type, "\", key = \"...\"}");
    }
    metrics.push_back(std::move(metric));
  }
  return metrics;
}

// What one evaluation gathers.
class Pass {
 public:
  Pass(const EvaluationInput& input, const BatchVisitor& visit) : input_(input), visit_(visit) {}

  // All batches of one data set.
  void run(BatchSource& loader) {
    // Where they are wanted on the CPU as well, they are better copied when they come.
    if (input_.device.is_cpu() || keeps()) {
      take_all(loader);
    } else {
      DeviceFeed feed(loader, input_.device);
      take_all(feed);
    }
  }

  [[nodiscard]] Numbers numbers() const {
    Numbers numbers = numbers_;
    losses_.read(type_, numbers);
    return numbers;
  }

 private:
  [[nodiscard]] bool keeps() const { return visit_ || input_.use_cpu; }  // the batch on the CPU

  void take_all(BatchSource& loader) {
    input_.metrics.reset();
    bool measured = false;
    std::string name;
    loader.start_epoch(0);
    for (std::int64_t index = 0; index < input_.max_batches; ++index) {
      std::optional<SampleList> loaded = next_batch(loader);
      if (!loaded) break;
      stop_if_asked();
      type_ = loaded->dataset_type();
      name = loaded->dataset_name();
      measured = take_in(*std::move(loaded), index) || measured;
    }
    loader.start_epoch(0, loader.num_batches());  // keeps no batches that are not read
    if (measured) numbers_.merge(input_.metrics.compute(type_, name));
  }

  [[nodiscard]] SampleList to_device(SampleList& loaded) const {
    if (input_.splitter != nullptr) return input_.splitter->to_device(loaded);
    return guarded(Hook{"the copy of a batch to the device"}, [&] {
      return keeps() ? loaded.to(input_.device, /*non_blocking=*/true)
                     : std::move(loaded).to(input_.device, /*non_blocking=*/true);
    });
  }

  // Whether the metrics had something to measure.
  bool take_in(SampleList loaded, std::int64_t index) {
    const SampleList batch = to_device(loaded);
    if (input_.hooks.on_batch_start) input_.hooks.on_batch_start(batch);
    const ModelOutput output = run_step(input_, batch, index);
    if (output.losses) {  // the config's are none without targets
      guarded(Hook{.name = "the mean of the losses",
                   .kind = "model",
                   .key = key_of(input_.model),
                   .batch = index},
              [&] { losses_.add(*output.losses, batch.batch_size()); });
    }
    if (input_.hooks.on_batch_end) input_.hooks.on_batch_end(batch, output);
    const bool measured = batch.has("targets");
    if (measured && !input_.use_cpu) input_.metrics.update(batch, output);
    if (!keeps()) return measured;
    Report report = to_report(std::move(loaded), output);
    if (measured && input_.use_cpu) input_.metrics.update(report.batch, report.output);
    report.output.losses.reset();  // they have been taken in
    if (visit_) visit_(report);
    return measured;
  }

  const EvaluationInput& input_;
  const BatchVisitor& visit_;
  LossSums losses_;
  Numbers numbers_;  // the metrics'
  std::string type_;
};

}  // namespace

std::optional<SampleList> next_batch(BatchSource& source) {
  try {
    return source.next();
  } catch (...) {
    throw_error_of(source.last_hook());
  }
}

MetricConfig MetricConfig::parse(const TypedConfig& entry) {
  const Config& options = entry.options;
  options.allow_only({"type", "params", "key", "datasets"});
  MetricConfig metric{entry, options.get<std::string>("key", entry.type),
                      options.get<std::vector<std::string>>("datasets", {})};
  if (metric.key.empty() || metric.key.find('/') != std::string::npos ||
      std::ranges::any_of(metric.key, [](unsigned char c) { return c < ' '; })) {
    throw options.error("key", "is no name; expected one without '/' and line breaks");
  }
  return metric;
}

bool is_for(const std::vector<std::string>& datasets, const std::string& dataset) {
  return datasets.empty() || std::ranges::find(datasets, dataset) != datasets.end();
}

MetricList::MetricList(const std::vector<TypedConfig>& config, const Registry& registry,
                       const Value& facts) {
  for (const MetricConfig& metric : parse_metrics(config)) {
    add(metric, registry, facts, metric.datasets);
  }
}

MetricList::MetricList(const std::vector<TypedConfig>& config, const Registry& registry,
                       const std::map<std::string, Value>& facts) {
  for (const MetricConfig& metric : parse_metrics(config)) {
    registry.require(Kind::kMetric, metric.component.type, metric.component.where);
    for (const auto& [dataset, known] : facts) {
      if (is_for(metric.datasets, dataset)) add(metric, registry, known, {dataset});
    }
  }
}

void MetricList::add(const MetricConfig& config, const Registry& registry, const Value& facts,
                     std::vector<std::string> datasets) {
  const TypedConfig filled = with_facts(config.component, registry, facts);
  const std::string& type = config.component.type;
  entries_.push_back({config.key, type, std::move(datasets),
                      guarded(metric_hook("the constructor", type, type),
                              [&] { return registry.make_metric(filled); })});
}

void MetricList::reset() {
  for (Entry& entry : entries_) {
    guarded(metric_hook("reset()", entry.key, entry.type), [&] { entry.metric->reset(); });
  }
}

void MetricList::update(const SampleList& batch, const ModelOutput& output) {
  const at::NoGradGuard no_grad;
  for (Entry& entry : entries_) {
    if (!is_for(entry.datasets, batch.dataset_name())) continue;
    guarded(metric_hook("update()", entry.key, entry.type),
            [&] { entry.metric->update(batch, output); });
  }
}

Numbers MetricList::compute(const std::string& dataset_type,
                            const std::string& dataset_name) const {
  const std::string prefix = dataset_type + "/" + dataset_name + "/";
  Numbers numbers;
  for (const Entry& entry : entries_) {
    if (!is_for(entry.datasets, dataset_name)) continue;
    const std::map<std::string, double> values = guarded(
        metric_hook("compute()", entry.key, entry.type), [&] { return entry.metric->compute(); });
    for (const auto& [child, value] : values) {
      numbers[prefix + entry.key + (child.empty() ? "" : "/" + child)] = value;
    }
  }
  return numbers;
}

Numbers evaluate(const EvaluationInput& input, const BatchVisitor& visit) {
  const EvaluationMode evaluation(input.model);
  const at::NoGradGuard no_grad;
  std::optional<OnStream> stream;
  if (input.recorded != nullptr) input.recorded->choose_stream(stream);
  Pass pass(input, visit);
  try {
    for (BatchSource* loader : input.loaders) pass.run(*loader);
    return pass.numbers();
  } catch (...) {
    throw_device_error(Hook{"the evaluation"});
    throw;
  }
}

}  // namespace pergola::host
