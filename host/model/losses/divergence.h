// SPDX-License-Identifier: BSD-3-Clause
// Losses that compare softmax(s) with soft targets by the Kullback-Leibler divergence (keys and
// formulas: MMF's mmf/modules/losses.py). s and t are [B, C], t >= 0; with w = sum of a row of t
// (1e-6 where that is 0), p = t / w and KL = sum over C of p * (log p - log_softmax(s)), a row of
// zeros has KL = 0. All compute in single precision at least and throw Error{kData} when shapes do
// not fit. Used on the training thread.
#pragma once

#include "pergola/component.h"
#include "pergola/loss.h"

namespace pergola::host {

// weighted_softmax: sum of KL * w, over B.
class WeightedSoftmax final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit WeightedSoftmax(const Config& /*params*/) {}
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;
};

// softmax_kldiv: sum of KL, over B.
class SoftmaxKldiv final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit SoftmaxKldiv(const Config& /*params*/) {}
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;
};

// wrong: the mean over all elements of p * (log p - log_softmax(s)), times C: the same number as
// softmax_kldiv, under MMF's other key for it.
class Wrong final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit Wrong(const Config& /*params*/) {}
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;
};

// bce_kl_combined: weight_softmax * softmax_kldiv + logit_bce.
class BceKlCombined final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit BceKlCombined(const Config& params);
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;

 private:
  double weight_softmax_;
};

// bce_kl: the same as two values, kl = weight_softmax * softmax_kldiv and bce = logit_bce.
class BceKl final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit BceKl(const Config& params);
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;

 private:
  double weight_softmax_;
};

}  // namespace pergola::host
