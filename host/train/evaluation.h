// SPDX-License-Identifier: BSD-3-Clause
// One pass over a split without learning: losses, metrics, and each batch's predictions for whoever
// wants them. Training thread.
#pragma once

#include "host/data/loader.h"
#include "pergola/base_model.h"
#include "pergola/callback.h"
#include "pergola/metric.h"
#include "pergola/registry.h"
#include "pergola/report.h"

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

// loader.next(); what a plugin's data set or processor throws becomes an Error{kPlugin}.
[[nodiscard]] std::optional<SampleList> next_batch(DataLoader& loader);

// The metrics that evaluation.metrics names. What a plugin's metric throws becomes an
// Error{kPlugin}, here and below.
class MetricList {
 public:
  // `config`: names, or {type, key, params, datasets} tables; a metric with `datasets` is of these
  // alone. What a metric's params leave out and the data set knows, `facts` fills in: the words of
  // the answers, ... Throws Error{kConfig} for an unknown metric, two of one key, or an option that
  // there is not.
  MetricList(const std::vector<TypedConfig>& config, const Registry& registry,
             const Value& facts = Value(Value::Table{}));

  void reset();
  // No gradient is recorded.
  void update(const SampleList& batch, const ModelOutput& output);
  // "{dataset_type}/{dataset_name}/{key}[/{child}]" → value, of the metrics for that data set.
  [[nodiscard]] Numbers compute(const std::string& dataset_type,
                                const std::string& dataset_name) const;

 private:
  struct Entry {
    std::string key;
    std::vector<std::string> datasets;  // empty: all
    std::unique_ptr<Metric> metric;

    [[nodiscard]] bool is_for(const std::string& dataset) const;
  };
  std::vector<Entry> entries_;
};

enum class Step { kValidation, kTest };

// What evaluate() needs; borrowed.
struct EvaluationInput {
  BaseModel& model;
  DataLoader& loader;
  MetricList& metrics;
  c10::Device device;
  Step step = Step::kValidation;
  std::int64_t max_batches = std::numeric_limits<std::int64_t>::max();
};

// Called for each batch with its place in the split, when predictions are wanted.
using BatchVisitor = std::function<void(const Report& report)>;

// The mean of every loss over the split's samples, or those of its first max_batches, their sum as
// "{dataset_type}/total_loss", and all metrics. The model is in evaluation mode meanwhile and then
// as before; no gradient is recorded. Metrics, and the losses of the config, are left out for
// batches without `targets`; `visit` may be empty.
[[nodiscard]] Numbers evaluate(const EvaluationInput& input, const BatchVisitor& visit = {});

}  // namespace pergola::host
