// SPDX-License-Identifier: BSD-3-Clause
// One pass over a split without learning, of one data set or of several: losses, metrics, and each
// batch's predictions for whoever wants them. Training thread.
#pragma once

#include "host/config/run_config.h"
#include "host/data/batch_source.h"
#include "pergola/base_model.h"
#include "pergola/callback.h"
#include "pergola/metric.h"
#include "pergola/registry.h"
#include "pergola/report.h"

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

class BatchSplitter;
class RecordedForward;

// source.next(); what a plugin's data set or processor throws becomes an Error{kPlugin}.
[[nodiscard]] std::optional<SampleList> next_batch(BatchSource& source);

// One entry of evaluation.metrics: a name, or {type, params, key, datasets}.
struct MetricConfig {
  TypedConfig component;              // which metric, and its params
  std::string key;                    // its part in names of numbers; the metric's own unless set
  std::vector<std::string> datasets;  // the data sets that it is for; empty: all

  // Throws Error{kConfig} for another option, and a key that is no name.
  [[nodiscard]] static MetricConfig parse(const TypedConfig& entry);
};

// Is a loss or a metric with these `datasets` for that one?
[[nodiscard]] bool is_for(const std::vector<std::string>& datasets, const std::string& dataset);

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
  // The same with a metric of its own for each data set, by name: what one has taken in does not
  // mix with another's.
  MetricList(const std::vector<TypedConfig>& config, const Registry& registry,
             const std::map<std::string, Value>& facts);

  void reset();
  // No gradient is recorded.
  void update(const SampleList& batch, const ModelOutput& output);
  // "{dataset_type}/{dataset_name}/{key}[/{child}]" → value, of the metrics for that data set.
  [[nodiscard]] Numbers compute(const std::string& dataset_type,
                                const std::string& dataset_name) const;

 private:
  struct Entry {
    std::string key;
    std::string type;                   // the metric's own name
    std::vector<std::string> datasets;  // empty: all
    std::unique_ptr<Metric> metric;
  };
  void add(const MetricConfig& config, const Registry& registry, const Value& facts,
           std::vector<std::string> datasets);

  std::vector<Entry> entries_;
};

enum class Step { kValidation, kTest };

// Called before and after the step of each batch, which is on the device. Either may be empty.
struct EvaluationHooks {
  std::function<void(const SampleList& batch)> on_batch_start = {};
  std::function<void(const SampleList& batch, const ModelOutput& output)> on_batch_end = {};
};

// What evaluate() needs; borrowed.
struct EvaluationInput {
  BaseModel& model;
  std::vector<BatchSource*> loaders;  // of one data set each, evaluated one after the other
  MetricList& metrics;
  c10::Device device;
  Step step = Step::kValidation;
  std::int64_t max_batches = std::numeric_limits<std::int64_t>::max();  // of each loader
  Precision precision = Precision::kFp32;                               // what the steps compute in
  bool use_cpu = false;  // metrics take in batch and output on the CPU: the device keeps nothing
  EvaluationHooks hooks = {};
  BatchSplitter* splitter = nullptr;  // null: a batch that is too large for the memory is an error
  RecordedForward* recorded = nullptr;  // null: steps are done operation by operation
};

// Called for each batch, on the CPU, when predictions are wanted.
using BatchVisitor = std::function<void(const Report& report)>;

// For each data set the mean of every loss over its samples, or those of its first max_batches, and
// its metrics; and the sum of all these means as "{dataset_type}/total_loss", in which each data
// set counts alike, however large it is. The number of a batch, which steps are given, begins at 0
// for each data set. The model is in evaluation mode meanwhile and then as before; no gradient is
// recorded. Metrics, and the losses of the config, are left out for batches without `targets`;
// `visit` may be empty.
[[nodiscard]] Numbers evaluate(const EvaluationInput& input, const BatchVisitor& visit = {});

}  // namespace pergola::host
