// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/nn/attention.h"

#include "pergola/error.h"
#include "pergola/ops.h"

#include <ATen/ATen.h>
#include <ATen/SDPBackend.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>

namespace pergola::nn {
namespace {

constexpr std::int64_t kPlacesMultiple = 128;
constexpr std::int64_t kLengthMultiple = 32;

std::int64_t round_up(std::int64_t count, std::int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// At least one multiple: kernels are spared a batch without tokens.
std::int64_t count_with_surplus(std::int64_t tokens) {
  return round_up(std::max<std::int64_t>(tokens, 1), kPlacesMultiple);
}

void check_mask(const at::Tensor& present) {
  if (present.dim() == 2) return;
  throw Error(ErrorKind::kData, "a mask of tokens has the shape ", present.sizes(),
              "; expected [batch, tokens]");
}

// 0 where no token is. In the type of the scores: under autocast the operator's inside would be in
// another, which its backward pass refuses on a GPU.
at::Tensor softmax(const at::Tensor& scores) {
  const c10::impl::ExcludeDispatchKeyGuard without_autocast(c10::autocast_dispatch_keyset);
  return at::_safe_softmax(scores, -1);
}

at::Tensor plain(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                 const TokenMask& mask, double dropout, at::Tensor* weights) {
  const double scale = 1 / std::sqrt(static_cast<double>(q.size(-1)));
  constexpr double kNone = -std::numeric_limits<double>::infinity();
  const at::Tensor scores_BHTT = (q * scale)
                                     .matmul(k.transpose(-2, -1))
                                     .masked_fill(mask.for_attention().logical_not(), kNone);
  const at::Tensor weights_BHTT = softmax(scores_BHTT);
  if (weights != nullptr) *weights = weights_BHTT;
  return at::dropout(weights_BHTT, dropout, dropout > 0).matmul(v);
}

// LibTorch's attention over sequences of different lengths exists on GPUs alone, in half precision,
// for heads of width 8, 16, ..., 256 and from compute capability 8.0 on. What the device can,
// LibTorch is asked as at::scaled_dot_product_attention asks it in each call: a few comparisons on
// the CPU.
bool has_varlen(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double dropout) {
  const bool half = q.scalar_type() == at::kHalf || q.scalar_type() == at::kBFloat16;
  if (!q.is_cuda() || !half || q.size(-1) % 8 != 0 || q.size(-1) > 256) return false;
  const auto one_sample = [](const at::Tensor& x_NHD) {
    return x_NHD.transpose(0, 1).unsqueeze(0);  // [1, H, N, D]
  };
  const auto way = static_cast<at::SDPBackend>(at::_fused_sdp_choice(
      one_sample(q), one_sample(k), one_sample(v), /*attn_mask=*/std::nullopt, dropout));
  // cuDNN's is preferred to this one on some devices, all of which have both.
  return way == at::SDPBackend::flash_attention || way == at::SDPBackend::cudnn_attention;
}

at::Tensor packed(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const TokenMask& mask, double dropout) {
  if (has_varlen(q, k, v, dropout)) {
    const at::Tensor& offsets = mask.offsets();
    const std::int64_t longest = mask.longest();
    return std::get<0>(at::_flash_attention_forward(q, k, v, offsets, offsets, longest, longest,
                                                    dropout, /*is_causal=*/false,
                                                    /*return_debug_mask=*/false));
  }
  const auto padded = [&](const at::Tensor& x_NHD) {
    return mask.unpack(x_NHD).transpose(1, 2);  // [B, H, T, D]
  };
  const at::Tensor result_BHTD =
      attention(AttentionKind::kSdpa, padded(q), padded(k), padded(v), mask, dropout);
  return mask.pack(result_BHTD.transpose(1, 2));
}

}  // namespace

void add_token_places(SampleList& batch, const at::Tensor& present, std::string_view name) {
  check_mask(present);
  const std::int64_t samples = batch.batch_size();
  if (samples == 0 || present.size(0) % samples != 0) {
    throw Error(ErrorKind::kData, "a mask of tokens has the shape ", present.sizes(),
                " for a batch of ", samples, "; expected [batch, tokens], or a multiple of batch");
  }
  const at::Tensor there = present.ne(0).reshape({samples, present.numel() / samples});
  const at::Tensor places_N = there.flatten().nonzero().squeeze(1);
  const std::int64_t count = places_N.size(0);
  PackedTensor field;
  field.values = at::constant_pad_nd(places_N, {0, count_with_surplus(count) - count}, -1);
  field.offsets = at::constant_pad_nd(there.sum(1).cumsum(0), {1, 0});
  batch.set_field(std::string(name), std::move(field));
}

TokenMask::TokenMask(const at::Tensor& present) : present_BT_(present.ne(0)) {
  check_mask(present);
}

TokenMask::TokenMask(const at::Tensor& present, const SampleList& batch, std::string_view name)
    : TokenMask(present) {
  if (!batch.has(name)) return;
  places_N_ = batch.packed(name).values;
  has_surplus_ = true;
  if (places_N_.dim() == 1 && places_N_.scalar_type() == at::kLong &&
      places_N_.size(0) <= count_with_surplus(present_BT_.numel())) {
    return;
  }
  throw Error(ErrorKind::kData, "field '", name, "' has ", places_N_.dtype(), " values ",
              places_N_.sizes(), " for a mask of tokens ", present.sizes(),
              "; expected what add_token_places() makes of this mask");
}

at::Tensor TokenMask::for_attention() const { return present_BT_.unsqueeze(1).unsqueeze(1); }

const at::Tensor& TokenMask::places() const {
  if (!places_N_.defined()) places_N_ = present_BT_.flatten().nonzero().squeeze(1);
  return places_N_;
}

at::Tensor TokenMask::pack(const at::Tensor& padded) const {
  return ops::gather_rows(padded.flatten(0, 1), places());
}

at::Tensor TokenMask::unpack(const at::Tensor& packed) const {
  return ops::scatter_rows(packed, places(), present_BT_.numel()).unflatten(0, present_BT_.sizes());
}

std::vector<at::Tensor> TokenMask::pack_rows(at::TensorList rows_BT) const {
  const at::Tensor rows_NK = pack(at::stack(rows_BT, -1) + 1) - 1;  // surplus is packed as 0
  return rows_NK.t().contiguous().unbind(0);
}

at::Tensor TokenMask::pick(const at::Tensor& packed, const at::Tensor& token_B) const {
  const at::Tensor numbers_BT = (present_BT_.flatten().cumsum(0) - 1).view_as(present_BT_);
  const at::Tensor rows_BT = numbers_BT.masked_fill(present_BT_.logical_not(), -1);
  return ops::gather_rows(packed, rows_BT.gather(1, token_B.unsqueeze(1)).squeeze(1));
}

const at::Tensor& TokenMask::offsets() const {
  if (offsets_.defined()) return offsets_;
  const at::Tensor ends_B = present_BT_.sum(1).cumsum(0, at::kInt);
  offsets_ = at::constant_pad_nd(ends_B, {1, 0});
  if (has_surplus_) offsets_ = at::constant_pad_nd(offsets_, {0, 1}, places_N_.size(0));
  return offsets_;
}

// Few numbers, as they are part of what a kernel is made for.
std::int64_t TokenMask::longest() const {
  const std::int64_t most = present_BT_.size(1);
  return has_surplus_ ? round_up(std::max(most, kPlacesMultiple), kLengthMultiple) : most;
}

at::Tensor attention(AttentionKind kind, const at::Tensor& q, const at::Tensor& k,
                     const at::Tensor& v, const TokenMask& mask, double dropout,
                     at::Tensor* weights) {
  switch (kind) {
    case AttentionKind::kPlain:
      return plain(q, k, v, mask, dropout, weights);
    case AttentionKind::kPacked:
      return packed(q, k, v, mask, dropout);
    case AttentionKind::kSdpa:
      break;
  }
  return at::scaled_dot_product_attention(q, k, v, mask.for_attention(), dropout);
}

}  // namespace pergola::nn
