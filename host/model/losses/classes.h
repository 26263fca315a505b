// SPDX-License-Identifier: BSD-3-Clause
// Losses of one class out of C: cross entropies (keys and formulas: MMF's mmf/modules/losses.py).
// All compute in single precision at least and throw Error{kData} when shapes do not fit.
// Used on the training thread.  Legend: B = batch, C = classes, T = steps, V = vocabulary.
#pragma once

#include "pergola/component.h"
#include "pergola/loss.h"

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pergola::host {

// cross_entropy: torch's CrossEntropyLoss with its weight, ignore_index, label_smoothing and
// reduction; s [B, C, ...], t class numbers [B, ...] or, as floats, class probabilities
// [B, C, ...]. Where all targets are ignored the mean is NaN, as torch's is. With reduction "none"
// [B], each the mean over a sample's places.
class CrossEntropy final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit CrossEntropy(const Config& params);
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;

 private:
  at::Tensor weight_;  // [C], where and as the last scores were; undefined: all classes alike
  std::int64_t ignore_index_;
  double label_smoothing_;
  std::int64_t reduction_;  // at::Reduction
};

// nll_loss: mean of -s[argmax t], times C; s = log-probabilities [B, C], t [B, C].
class NllLoss final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit NllLoss(const Config& /*params*/) {}
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;
};

// soft_label_cross_entropy: -sum of p * log_softmax(s), over the number of rows that count (mean,
// at least 1) or not (sum). s [B, C]; t [B, C] of 0 or more, where p = t / (sum of t + 1.2e-7) or,
// with normalize_targets = false, t, and rows of zeros do not count; or class numbers [B] or [B,
// 1], where those equal to ignore_index do not count.
class SoftLabelCrossEntropy final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit SoftLabelCrossEntropy(const Config& params);
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;

 private:
  std::int64_t ignore_index_;
  bool mean_;
  bool normalize_targets_;
};

// label_smoothing_cross_entropy: cross entropy against 1 - label_smoothing for the class and
// label_smoothing / (C - 1) for each other one; the mean over the rows that count (at least 1), or
// the sum. s [B, C], t class numbers [B] or [B, 1].
class LabelSmoothingCrossEntropy final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit LabelSmoothingCrossEntropy(const Config& params);
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;

 private:
  double label_smoothing_;
  bool mean_;
  std::int64_t ignore_index_;
};

// caption_cross_entropy: mean cross entropy over the steps before each caption's end; s [B, T, V],
// t [B, U] word numbers of which a caption has `caption_len` [B] - 1 (integers), or U where the
// batch has no caption_len. MMF hands rows sorted by length to pack_padded_sequence; the mean is
// the same in any order. 0 when no caption has a word, NaN when the scores end before a caption.
class CaptionCrossEntropy final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit CaptionCrossEntropy(const Config& /*params*/) {}
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;
};

}  // namespace pergola::host
