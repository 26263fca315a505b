// SPDX-License-Identifier: BSD-3-Clause
// Losses of independent yes-or-no decisions: binary cross entropies (keys and formulas: MMF's
// mmf/modules/losses.py). BCE(p, t) = -t log p - (1 - t) log(1 - p); with logits, p = sigmoid(s).
// All compute in single precision at least and throw Error{kData} when shapes do not fit.
// Used on the training thread.  Legend: B = batch, C = classes, T = steps, V = vocabulary.
#pragma once

#include "pergola/component.h"
#include "pergola/loss.h"

namespace pergola::host {

// logit_bce: mean of BCE(sigmoid(s), t), times t.size(1); s and t [B, C, ...], t in [0, 1].
class LogitBce final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit LogitBce(const Config& /*params*/) {}
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;
};

// triple_logit_bce: for s [B, 3, C] the sum of logit_bce over the three branches, with t [B, C];
// for s [B, C] logit_bce.
class TripleLogitBce final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit TripleLogitBce(const Config& /*params*/) {}
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;
};

// bce: mean of BCE(s, t), times t.size(1); s are probabilities, s and t [B, C, ...]. A score that
// is no probability makes the loss NaN.
class Bce final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit Bce(const Config& /*params*/) {}
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;
};

// attention_supervision: mean of a * BCE(p, a), times a.size(1); p = the model's `attentions`
// (probabilities, the first attention), a = `attention_supervision` of the batch's group `info`,
// both [B, R, ...]. An attention that is no probability makes the loss NaN.
class AttentionSupervision final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit AttentionSupervision(const Config& /*params*/) {}
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;
};

// m4c_decoding_bce_with_mask: sum of m * BCE(sigmoid(s), t) / max(sum of m, 1); s and t
// [B, T, V], m = the batch's `train_loss_mask` [B, T]. 0 when everything is masked.
class M4cDecodingBceWithMask final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit M4cDecodingBceWithMask(const Config& /*params*/) {}
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;
};

}  // namespace pergola::host
