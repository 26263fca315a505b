// SPDX-License-Identifier: BSD-3-Clause
// Metrics of batches on a GPU: the references' numbers, as on the CPU. Those of texts and boxes are
// counted on the CPU wherever the batch is.
#include "gpu/gpu_fixture.h"
#include "unit/model/metrics/golden_cases.h"

namespace pergola::host::golden {
namespace {

class GpuMetricsTest : public OnGpu<> {};

TEST_F(GpuMetricsTest, EveryValueIsThatOfTheReference) {
  for (const Case& one : cases()) {
    MetricBatch batch = batch_of(one.input);
    batch.scores = batch.scores.to(device_);
    batch.targets = batch.targets.to(device_);
    if (batch.texts.defined()) batch.texts = batch.texts.to(device_);
    expect_values(one, batch);
  }
}

}  // namespace
}  // namespace pergola::host::golden
