// SPDX-License-Identifier: BSD-3-Clause
// The losses that Pergola brings (formulas: MMF's mmf/modules/losses.py). `s` = scores [B, C],
// `t` = targets of the batch. Used on the training thread; they write into nothing.
#pragma once

#include "pergola/loss.h"

#include <cstdint>
#include <optional>

namespace pergola::host {

// logit_bce: mean over all elements of BCE-with-logits(s, t), times C; t [B, C] in [0, 1].
class LogitBce final : public Loss {
 public:
  explicit LogitBce(const Config& params);
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;
};

// cross_entropy: torch's, with its keywords ignore_index, label_smoothing and reduction; t is [B]
// class numbers (int64), or [B, C] class probabilities.
class CrossEntropy final : public Loss {
 public:
  explicit CrossEntropy(const Config& params);
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;

 private:
  std::int64_t ignore_index_;
  double label_smoothing_;
  std::int64_t reduction_;  // at::Reduction
};

}  // namespace pergola::host
