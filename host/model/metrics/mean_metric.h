// SPDX-License-Identifier: BSD-3-Clause
// The base of the metrics that are a mean over samples. It keeps a sum and a count, so memory does
// not grow with the split, and the sum stays on the device, so that an evaluation never waits for
// it before compute().
#pragma once

#include "pergola/metric.h"

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pergola::host {

class MeanMetric : public Metric {
 public:
  void update(const SampleList& batch, const ModelOutput& output) final;
  void merge(const Metric& other) final;
  // The mean under the key "".
  [[nodiscard]] std::map<std::string, double> compute() const final;
  void reset() final;

 protected:
  // One value for each sample, [B], of any type and device. Does not wait for the device.
  // Throws Error{kData} when shapes do not fit.
  [[nodiscard]] virtual at::Tensor values(const SampleList& batch,
                                          const ModelOutput& output) const = 0;

 private:
  at::Tensor sum_;  // 0-d float64: exact for counts, and for soft scores in float32; undefined
                    // before the first batch
  std::int64_t count_ = 0;
};

}  // namespace pergola::host
