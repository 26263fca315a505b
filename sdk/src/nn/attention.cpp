// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/nn/attention.h"

#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/SDPBackend.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <cmath>
#include <limits>
#include <optional>

namespace pergola::nn {
namespace {

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
    const at::Tensor offsets = mask.offsets();
    const std::int64_t longest = mask.present().size(1);  // at most: exact would be a wait
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

TokenMask::TokenMask(const at::Tensor& present) : present_BT_(present.ne(0)) {
  if (present.dim() == 2) return;
  throw Error(ErrorKind::kData, "a mask of tokens has the shape ", present.sizes(),
              "; expected [batch, tokens]");
}

at::Tensor TokenMask::for_attention() const { return present_BT_.unsqueeze(1).unsqueeze(1); }

const at::Tensor& TokenMask::places() const {
  if (!places_N_.defined()) places_N_ = present_BT_.flatten().nonzero().squeeze(1);
  return places_N_;
}

at::Tensor TokenMask::pack(const at::Tensor& padded) const {
  return padded.flatten(0, 1).index_select(0, places());
}

at::Tensor TokenMask::unpack(const at::Tensor& packed) const {
  std::vector<std::int64_t> sizes = packed.sizes().vec();
  sizes.front() = present_BT_.numel();
  const at::Tensor flat = at::zeros(sizes, packed.options()).index_copy(0, places(), packed);
  return flat.unflatten(0, present_BT_.sizes());
}

at::Tensor TokenMask::offsets() const {
  const at::Tensor ends_B = present_BT_.sum(1).cumsum(0, at::kInt);
  return at::constant_pad_nd(ends_B, {1, 0});
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
