// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/evaluation.h"

#include "host/model/guard.h"
#include "host/support/signals.h"
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

// `batch` as it was loaded, on the CPU, with the output there too; losses have been taken in.
Report to_report(SampleList batch, ModelOutput output) {
  output.losses.reset();
  return Report{std::move(batch), Report{{}, std::move(output)}.to(at::kCPU).output};
}

ModelOutput run_step(const EvaluationInput& input, const SampleList& batch, std::int64_t index) {
  const bool test = input.step == Step::kTest;
  return guarded(concat(test ? "test_step" : "validation_step", "() at batch ", index), [&] {
    return test ? input.model.test_step(batch, index) : input.model.validation_step(batch, index);
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

std::string metric_hook(const char* hook, const std::string& key) {
  return concat(hook, " of metric '", key, "'");
}

}  // namespace

std::optional<SampleList> next_batch(DataLoader& loader) {
  const std::string what = concat("get() of data set '", loader.options().dataset_name, "' (",
                                  loader.options().dataset_type, ") or of its processors");
  return guarded(what, [&] { return loader.next(); });
}

MetricList::MetricList(const std::vector<TypedConfig>& config, const Registry& registry,
                       const Value& facts) {
  for (const TypedConfig& entry : config) {
    entry.options.allow_only({"type", "params", "key", "datasets"});
    const std::string key = entry.options.get<std::string>("key", entry.type);
    if (key.empty() || key.find('/') != std::string::npos ||
        std::ranges::any_of(key, [](unsigned char c) { return c < ' '; })) {
      throw entry.options.error("key", "is no name; expected one without '/' and line breaks");
    }
    for (const Entry& earlier : entries_) {
      if (earlier.key != key) continue;
      throw Error(ErrorKind::kConfig, entry.where, " is a second metric with the key '", key,
                  "'; give it another one: {type = \"", entry.type, "\", key = \"...\"}");
    }
    const TypedConfig filled = with_facts(entry, registry, facts);
    entries_.push_back({key, entry.options.get<std::vector<std::string>>("datasets", {}),
                        guarded(metric_hook("the constructor", entry.type),
                                [&] { return registry.make_metric(filled); })});
  }
}

bool MetricList::Entry::is_for(const std::string& dataset) const {
  return datasets.empty() || std::ranges::find(datasets, dataset) != datasets.end();
}

void MetricList::reset() {
  for (Entry& entry : entries_) {
    guarded(metric_hook("reset()", entry.key), [&] { entry.metric->reset(); });
  }
}

void MetricList::update(const SampleList& batch, const ModelOutput& output) {
  const at::NoGradGuard no_grad;
  for (Entry& entry : entries_) {
    if (!entry.is_for(batch.dataset_name())) continue;
    guarded(metric_hook("update()", entry.key), [&] { entry.metric->update(batch, output); });
  }
}

Numbers MetricList::compute(const std::string& dataset_type,
                            const std::string& dataset_name) const {
  const std::string prefix = dataset_type + "/" + dataset_name + "/";
  Numbers numbers;
  for (const Entry& entry : entries_) {
    if (!entry.is_for(dataset_name)) continue;
    const std::map<std::string, double> values =
        guarded(metric_hook("compute()", entry.key), [&] { return entry.metric->compute(); });
    for (const auto& [child, value] : values) {
      numbers[prefix + entry.key + (child.empty() ? "" : "/" + child)] = value;
    }
  }
  return numbers;
}

Numbers evaluate(const EvaluationInput& input, const BatchVisitor& visit) {
  const EvaluationMode evaluation(input.model);
  const at::NoGradGuard no_grad;
  input.metrics.reset();
  LossSums losses;
  std::string type;
  std::string name;
  bool measured = false;
  std::int64_t index = 0;
  input.loader.start_epoch(0);
  while (index < input.max_batches) {
    std::optional<SampleList> loaded = next_batch(input.loader);
    if (!loaded) break;
    stop_if_asked();
    const SampleList batch = visit ? loaded->to(input.device, /*non_blocking=*/true)
                                   : std::move(*loaded).to(input.device, /*non_blocking=*/true);
    type = batch.dataset_type();
    name = batch.dataset_name();
    const ModelOutput output = run_step(input, batch, index++);
    if (output.losses) {  // the config's are none without targets
      guarded("the mean of the model's losses",
              [&] { losses.add(*output.losses, batch.batch_size()); });
    }
    if (batch.has("targets")) {
      input.metrics.update(batch, output);
      measured = true;
    }
    if (visit) visit(to_report(std::move(*loaded), output));
  }
  input.loader.start_epoch(0, input.loader.num_batches());  // keeps no batches that are not read
  Numbers numbers;
  if (measured) numbers = input.metrics.compute(type, name);
  losses.read(type, numbers);
  return numbers;
}

}  // namespace pergola::host
