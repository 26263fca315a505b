// SPDX-License-Identifier: BSD-3-Clause
// Means over samples of how right the chosen class is (MMF's metrics.py). A sample that chooses
// nothing (a score that is not a number, or all of them -inf) is counted and never right.
// Legend: B = batch, C = classes (answers).
#pragma once

#include "host/model/metrics/mean_metric.h"
#include "pergola/component.h"

#include <string>

namespace pergola::host {

// accuracy: the share of samples whose target is among the `topk` highest scores; of equal scores
// the lower class is ahead. Scores [B, C], or, with topk 1, chosen classes [B]. Targets are class
// numbers [B] or [B, 1], or [B, C], of which the first of the highest counts. A class number
// outside [0, C), such as -1, is never right.
class Accuracy : public MeanMetric {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit Accuracy(const Config& params);

 protected:
  Accuracy(const char* name, std::string score_key, std::string target_key, std::int64_t topk);
  [[nodiscard]] at::Tensor values(const SampleList& batch, const ModelOutput& output) const final;

 private:
  const char* name_;
  std::string score_key_;
  std::string target_key_;
  std::int64_t topk_;
};

// topk_accuracy: accuracy with MMF's other names of its params.
class TopkAccuracy final : public Accuracy {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit TopkAccuracy(const Config& params);
};

// vqa_accuracy: the soft score in targets [B, C] of the highest-scored answer but answer 0 (<unk>).
// Scores [B, C], or [B, branches, C], of which the first branch counts.
class VqaAccuracy final : public MeanMetric {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit VqaAccuracy(const Config& params);

 protected:
  [[nodiscard]] at::Tensor values(const SampleList& batch,
                                  const ModelOutput& output) const override;
};

}  // namespace pergola::host
