// SPDX-License-Identifier: BSD-3-Clause
// Losses of embeddings against embeddings (keys and formulas: MMF's mmf/modules/losses.py).
// All compute in single precision at least and throw Error{kData} when shapes do not fit.
// Used on the training thread.  Legend: B = batch, D = width, k = texts an image.
#pragma once

#include "pergola/component.h"
#include "pergola/loss.h"

namespace pergola::host {

// mse: mean of (s - t)^2; s and t of one shape [B, ...].
class Mse final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit Mse(const Config& /*params*/) {}
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;
};

// cos_emb_loss: mean of 1 - cos(s, t); s and t [B, D].
class CosineEmbedding final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit CosineEmbedding(const Config& /*params*/) {}
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;
};

// in_batch_hinge (VSE++): images = s [B, D], texts = the model's `targets` [kB, D], k to an image.
// With c = images · texts, the sum over all pairs that do not belong together of
// max(0, margin + c - c of the image's own text) + max(0, margin + c - c of the text's own image);
// hard: of each image's and each text's worst pair alone. The sum over the k.
class InBatchHinge final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit InBatchHinge(const Config& params);
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;

 private:
  double margin_;
  bool hard_;
};

// contrastive_loss: with logits = embedding_1 · embedding_2 / temperature [B, B], the mean of the
// cross entropies of rows and of columns, whose classes are the diagonal. The model returns all
// three: `embedding_1` and `embedding_2` [B, D], `temperature` of one element. Over one process:
// the embeddings of other ranks are not gathered.
class Contrastive final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit Contrastive(const Config& /*params*/) {}
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;
};

}  // namespace pergola::host
