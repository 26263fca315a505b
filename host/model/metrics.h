// SPDX-License-Identifier: BSD-3-Clause
// The metrics that Pergola brings (definitions: MMF's mmf/modules/metrics.py). Each keeps a sum and
// a count on the batch's device, so that an evaluation never waits for the device before compute().
#pragma once

#include "pergola/config.h"
#include "pergola/metric.h"

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pergola::host {

// A mean over samples of something in [0, 1].
class MeanMetric : public Metric {
 public:
  void update(const SampleList& batch, const ModelOutput& output) final;
  void merge(const Metric& other) final;
  [[nodiscard]] std::map<std::string, double> compute() const final;
  void reset() final;

 protected:
  // One value for each sample, [B].
  [[nodiscard]] virtual at::Tensor values(const at::Tensor& scores,
                                          const at::Tensor& targets) const = 0;

 private:
  at::Tensor sum_;  // 0-d float64; undefined before the first batch
  std::int64_t count_ = 0;
};

// accuracy: the share of samples whose target is among the `topk` highest scores. Targets are [B]
// class numbers, or [B, C], of which the highest counts.
class Accuracy final : public MeanMetric {
 public:
  explicit Accuracy(const Config& params);

 protected:
  [[nodiscard]] at::Tensor values(const at::Tensor& scores,
                                  const at::Tensor& targets) const override;

 private:
  std::int64_t topk_;
};

// vqa_accuracy: the soft score in targets [B, C] of the highest-scored answer; class 0 (<unk>)
// cannot be answered.
class VqaAccuracy final : public MeanMetric {
 public:
  explicit VqaAccuracy(const Config& params);

 protected:
  [[nodiscard]] at::Tensor values(const at::Tensor& scores,
                                  const at::Tensor& targets) const override;
};

}  // namespace pergola::host
