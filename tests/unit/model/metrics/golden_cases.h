// SPDX-License-Identifier: BSD-3-Clause
// The cases of tests/golden/metrics.json, whose numbers are those of scikit-learn and torchmetrics
// (tools/reference/metrics.py).
#pragma once

#include "host/support/files.h"
#include "host/support/json.h"
#include "unit/model/metrics/metric_helpers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace pergola::host::golden {

inline const Value& golden_metrics() {
  static const Value kValue = [] {
    const std::string path = PERGOLA_GOLDEN_DIR "/metrics.json";
    return from_json(read_file(path, ErrorKind::kData), path);
  }();
  return kValue;
}

// [[1, 2], [3, 4]] as a tensor: float32, or int64 where all are whole numbers.
inline at::Tensor tensor_of(const Value& value) {
  const Value::Array& rows = value.as_array();
  std::vector<at::Tensor> parts;
  for (const Value& row : rows) {
    if (row.is_array()) {
      parts.push_back(tensor_of(row));
    } else if (row.type() == Value::Type::kInteger) {
      parts.push_back(at::scalar_tensor(row.as_integer(), at::kLong));
    } else {
      parts.push_back(at::scalar_tensor(row.as_float(), at::kFloat));
    }
  }
  return at::stack(parts);
}

inline MetricBatch batch_of(const std::string& name) {
  const Value& input = *golden_metrics().find("inputs." + name);
  const at::Tensor scores = tensor_of(*input.find("scores"));
  if (const Value* texts = input.find("texts")) {
    return {scores, at::zeros({scores.size(0)}), tensor_of(*texts)};
  }
  return {scores, tensor_of(*input.find("targets"))};
}

struct Case {
  std::string metric;
  std::string input;
  Value params;
  Value values;
};

inline std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Value& one : golden_metrics().find("cases")->as_array()) {
    all.push_back({one.find("metric")->as_string(), one.find("input")->as_string(),
                   *one.find("params"), *one.find("values")});
  }
  return all;
}

inline void expect_values(const Case& expected, const MetricBatch& batch) {
  SCOPED_TRACE(expected.metric + " " + to_string(expected.params) + " of " + expected.input);
  const auto metric = make_metric(expected.metric, expected.params.as_table());
  update(*metric, batch);
  const auto values = metric->compute();
  ASSERT_EQ(values.size(), expected.values.as_table().size());
  for (const auto& [child, value] : expected.values.as_table()) {
    ASSERT_EQ(values.count(child), 1U) << child;
    if (value.is_null()) {
      EXPECT_TRUE(std::isnan(values.at(child))) << child << " is " << values.at(child);
    } else {
      EXPECT_NEAR(values.at(child), value.as_float(), 1e-12) << child;
    }
  }
}

}  // namespace pergola::host::golden
