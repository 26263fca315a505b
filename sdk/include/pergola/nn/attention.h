// SPDX-License-Identifier: BSD-3-Clause
// Attention over batches of sequences of different lengths, in three ways that agree: written out,
// LibTorch's fused operator with a mask, and without the padding. A padded token changes nothing.
// Values; used on the training thread but where it says so.
// Legend: B = batch, T = tokens with padding, N = tokens without it, H = heads, D = width of one.
#pragma once

#include "pergola/export.h"
#include "pergola/sample_list.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace pergola::nn {

enum class AttentionKind {
  kSdpa,    // at::scaled_dot_product_attention with a mask: the usual one
  kPlain,   // product, softmax, product: keeps the attention weights
  kPacked,  // without padding: fewer tokens for every layer between two attentions
};

// Where add_token_places() puts what it finds.
inline constexpr std::string_view kTokenPlaces = "token_places";

// Adds the field `name` to a batch on the CPU: where its tokens are, so that nobody has to ask a
// GPU (BaseModel::on_before_batch_transfer). `present`: [S, T] of any type, not 0 where there is a
// token, as TokenMask has it; S is the batch's size, or a multiple of it where each sample has
// several sequences. The field is packed: its values are the places, int64, in the flattened
// [S * T], and behind them -1 up to a multiple of 128, so that few shapes of batches occur; S over
// the batch's size sequences each are a row. A field of that name is replaced.
// Throws Error{kData} for another shape.  [any-thread]
PERGOLA_API void add_token_places(SampleList& batch, const at::Tensor& present,
                                  std::string_view name = kTokenPlaces);

// Which places [B, T] of a padded batch hold a token.
class PERGOLA_API TokenMask {
 public:
  // `present`: [B, T] of any type, not 0 where there is a token.
  // Throws Error{kData} for another number of dimensions.
  explicit TokenMask(const at::Tensor& present);
  // The same, with the places that add_token_places(batch, present, name) added to `batch`, where
  // it has that field: nothing waits for a GPU then, and N below counts surplus rows behind those
  // of the tokens, which belong to nobody: zeros when packed, and left out when unpacked.
  TokenMask(const at::Tensor& present, const SampleList& batch,
            std::string_view name = kTokenPlaces);

  // bool [B, T]
  [[nodiscard]] const at::Tensor& present() const noexcept { return present_BT_; }
  // bool [B, 1, 1, T], as attention operators take it
  [[nodiscard]] at::Tensor for_attention() const;

  // [B, T, ...] → [N, ...], the tokens that are there, sample by sample. Without places the first
  // call waits for a GPU, which alone knows how many there are.
  [[nodiscard]] at::Tensor pack(const at::Tensor& padded) const;
  // [N, ...] → [B, T, ...], with 0 in between.
  [[nodiscard]] at::Tensor unpack(const at::Tensor& packed) const;
  // Each int64 [B, T], numbers of rows in a table, -1 for none → [N], with -1 in surplus rows.
  [[nodiscard]] std::vector<at::Tensor> pack_rows(at::TensorList rows_BT) const;
  // Of a packed tensor [N, ...] the row of one token of each sample: [B, ...]. `token`: int64 [B],
  // below T; one that is not there gives 0.
  [[nodiscard]] at::Tensor pick(const at::Tensor& packed, const at::Tensor& token_B) const;
  // int32 [B + 1]: where each sample begins in [N], and where the last one ends; with places one
  // more, N: the surplus rows count as a sample. Computed once.
  [[nodiscard]] const at::Tensor& offsets() const;
  // No sample has more rows, the surplus ones included.
  [[nodiscard]] std::int64_t longest() const;

 private:
  [[nodiscard]] const at::Tensor& places() const;

  at::Tensor present_BT_;
  bool has_surplus_ = false;
  mutable at::Tensor places_N_;  // int64, in the flattened [B * T]; undefined until it is asked for
  mutable at::Tensor offsets_;   // the same
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
