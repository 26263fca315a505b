// SPDX-License-Identifier: BSD-3-Clause
// Losses of the similarities inside a batch (keys and formulas: MMF's mmf/modules/losses.py).
// The multi-similarity form, of row i with its similarities x to positives and negatives, is
//   1/beta * log(1 + sum over positives of exp(-beta * (x - base)))
//   + 1/alpha * log(1 + sum over negatives of exp(alpha * (x - base)))
// (Wang et al., CVPR 2019), here without overflow. Pairs are chosen by masks, so that a GPU is not
// waited for. A batch without any pair that counts has loss 0.
// All compute in single precision at least and throw Error{kData} when shapes do not fit.
// Used on the training thread.  Legend: B = batch, D = width, C = classes.
#pragma once

#include "pergola/component.h"
#include "pergola/loss.h"

namespace pergola::host {

// ms_loss: x = cosines of the model's `fused_embedding` [B, D], base = margin. Positives are the
// other samples of one class with x < 1 - 1e-5, negatives those of another class. t is [B] classes,
// or with is_multilabel [B, C], where samples that share a class are positives. hard_mining keeps
// negatives with x + 0.1 > the least positive and positives with x - 0.1 < the highest negative.
// A row counts if it has both; the sum over B.
// Unlike MMF, hard_mining = false does not mine, and is_multilabel compares with row i, not row 0.
class MultiSimilarity final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit MultiSimilarity(const Config& params);
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;

 private:
  double alpha_;
  double beta_;
  double margin_;
  bool hard_mining_;
  bool is_multilabel_;
};

// refiner_ms: x = s · t, [B, B] products; s and t [B, D]. The positive of row i is x[i][i],
// negatives are those with x + margin > the positive that differ from it by more than epsilon. A
// row counts if it has negatives; the sum over B.
class RefinerMs final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit RefinerMs(const Config& params);
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;

 private:
  double alpha_;
  double beta_;
  double base_;
  double margin_;
  double epsilon_;
};

// refiner_contrastive_loss: x = cosines of s and t [B, D]; the mean over the negatives of row i of
// sim_thresh + x - x[i][i]. Negatives are those with x > x[i][i] - sim_thresh that differ from
// x[i][i] by more than epsilon; the sum over B.
class RefinerContrastive final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit RefinerContrastive(const Config& params);
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;

 private:
  double sim_thresh_;
  double epsilon_;
};

}  // namespace pergola::host
