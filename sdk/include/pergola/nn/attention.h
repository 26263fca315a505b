// SPDX-License-Identifier: BSD-3-Clause
// Attention over batches of sequences of different lengths, in three ways that agree: written out,
// LibTorch's fused operator with a mask, and without the padding. A padded token changes nothing.
// Values; used on the training thread.
// Legend: B = batch, T = tokens with padding, N = tokens without it, H = heads, D = width of one.
#pragma once

#include "pergola/export.h"

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pergola::nn {

enum class AttentionKind {
  kSdpa,    // at::scaled_dot_product_attention with a mask: the usual one
  kPlain,   // product, softmax, product: keeps the attention weights
  kPacked,  // without padding: fewer tokens for every layer between two attentions
};

// Which places [B, T] of a padded batch hold a token.
class PERGOLA_API TokenMask {
 public:
  // `present`: [B, T] of any type, not 0 where there is a token.
  // Throws Error{kData} for another number of dimensions.
  explicit TokenMask(const at::Tensor& present);

  // bool [B, T]
  [[nodiscard]] const at::Tensor& present() const noexcept { return present_BT_; }
  // bool [B, 1, 1, T], as attention operators take it
  [[nodiscard]] at::Tensor for_attention() const;

  // [B, T, ...] → [N, ...], the tokens that are there, sample by sample. The first call waits for a
  // GPU, which alone knows how many there are.
  [[nodiscard]] at::Tensor pack(const at::Tensor& padded) const;
  // [N, ...] → [B, T, ...], with 0 in between.
  [[nodiscard]] at::Tensor unpack(const at::Tensor& packed) const;
  // int32 [B + 1]: where each sample begins in [N], and N.
  [[nodiscard]] at::Tensor offsets() const;

 private:
  [[nodiscard]] const at::Tensor& places() const;

  at::Tensor present_BT_;
  mutable at::Tensor places_N_;  // int64, in the flattened [B * T]; undefined until it is asked for
};

// softmax(q k^T / sqrt(D)) v over the tokens of each sample, in half precision as in single; 0 for
// a sample without tokens. `dropout`: of the attention weights; 0 outside of training. `weights`,
// unless null, receives these as [B, H, T, T] (kPlain alone).
//   kSdpa, kPlain: q, k, v and the result are [B, H, T, D]
//   kPacked:       they are [N, H, D]
// REQUIRES: one shape, one type and one device.
[[nodiscard]] PERGOLA_API at::Tensor attention(AttentionKind kind, const at::Tensor& q,
                                               const at::Tensor& k, const at::Tensor& v,
                                               const TokenMask& mask, double dropout,
                                               at::Tensor* weights = nullptr);

}  // namespace pergola::nn
