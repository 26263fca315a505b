// SPDX-License-Identifier: BSD-3-Clause
// Verbs of the metrics' tests: made by the registry, as a run makes them.
#pragma once

#include "host/model/builtins.h"
#include "pergola/metric.h"
#include "pergola/registry.h"

#include <torch/types.h>

#include <memory>
#include <string>
#include <utility>

namespace pergola::host {

inline const Registry& builtin_registry() {
  static const Registry kRegistry = [] {
    Registry made;
    made.publish(builtin_model_parts(), "host");
    return made;
  }();
  return kRegistry;
}

inline std::unique_ptr<Metric> make_metric(const std::string& key, Value::Table params = {}) {
  return builtin_registry().make_metric(
      {key, Config(std::move(params), "metrics[0].params"), Config(), "metrics[0]"});
}

// One batch. `texts`: what the retrieval metrics compare with.
struct MetricBatch {
  at::Tensor scores;
  at::Tensor targets;
  at::Tensor texts = {};
};

inline void update(Metric& metric, const MetricBatch& given) {
  SampleList batch;
  batch.add_field("targets", given.targets);
  ModelOutput output;
  output.scores = given.scores;
  if (given.texts.defined()) output.fields["targets"] = given.texts;
  metric.update(batch, output);
}

inline double value_of(const Metric& metric) { return metric.compute().at(""); }

// The value of one batch.
inline double value_of(const std::string& key, const MetricBatch& batch, Value::Table params = {}) {
  const std::unique_ptr<Metric> metric = make_metric(key, std::move(params));
  update(*metric, batch);
  return value_of(*metric);
}

}  // namespace pergola::host
