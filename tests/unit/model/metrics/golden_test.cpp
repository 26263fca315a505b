// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/builtins.h"
#include "unit/model/metrics/golden_cases.h"
#include "unit/model/metrics/text_metric_keys.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace pergola::host::golden {
namespace {

TEST(GoldenMetricsTest, EveryValueIsThatOfTheReference) {
  for (const Case& one : cases()) expect_values(one, batch_of(one.input));
}

TEST(GoldenMetricsTest, OneHotTargetsAreTheClassNumbers) {
  for (const Case& one : cases()) {
    MetricBatch batch = batch_of(one.input);
    if (batch.texts.defined() || batch.targets.dim() != 1) continue;
    batch.targets = at::one_hot(batch.targets, batch.scores.size(1));
    expect_values(one, batch);
    batch.targets = batch.targets.argmax(1, /*keepdim=*/true);
    expect_values(one, batch);
  }
}

TEST(GoldenMetricsTest, EveryNumericMetricIsCompared) {
  std::set<std::string> compared;
  for (const Case& one : cases()) compared.insert(one.metric);
  // Those of texts and of boxes have references of their own.
  const std::set<std::string> others(kTextMetricKeys.begin(), kTextMetricKeys.end());
  Registry registry;
  registry.publish(builtin_model_parts(), "host");
  for (const std::string& key : registry.keys(Kind::kMetric)) {
    if (others.contains(key)) continue;
    EXPECT_EQ(compared.count(key), 1U) << key;
  }
}

}  // namespace
}  // namespace pergola::host::golden
