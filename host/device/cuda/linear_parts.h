// SPDX-License-Identifier: BSD-3-Clause
// What operators with linear layers are put together from, both ways. cuBLASLt wants rows that
// begin at 16 bytes, which are kPack numbers of half precision. Free functions; used on the
// training thread and autograd's. Legend: N = rows, K = inputs, M = outputs.
#pragma once

#include "host/device/cuda/product.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace pergola::cuda {

inline constexpr std::int64_t kPack = 8;

[[nodiscard]] inline std::int64_t whole_packs(std::int64_t count) {
  return (count + kPack - 1) / kPack * kPack;
}

// The type that products with x are computed in: autocast's or its own; nothing where it is none of
// half precision.
[[nodiscard]] std::optional<at::ScalarType> half_type(const at::Tensor& x);
// The same, or float32 where x is and there is no autocast.
[[nodiscard]] std::optional<at::ScalarType> linear_type(const at::Tensor& x);

// Dense, from an address that kernels and products can read 16 bytes from.
[[nodiscard]] at::Tensor aligned(const at::Tensor& x);

// A weight or a bias as products read it.
[[nodiscard]] at::Tensor in_type(const at::Tensor& weight, at::ScalarType type);
// The same with zeros behind the last row, or the last number of a bias, up to whole packs.
[[nodiscard]] at::Tensor in_whole_packs(const at::Tensor& weight, at::ScalarType type);
// [N, K], with zeros behind the last column.
[[nodiscard]] at::Tensor with_whole_rows(const at::Tensor& matrix_NK);

// [..., K] → [N, K], dense, from an address that kernels can read 16 bytes from. Where it is x's
// memory, it counts changes with x, which a backward pass notices.
[[nodiscard]] at::Tensor as_rows(const at::Tensor& x);
// These sizes with another last one.
[[nodiscard]] std::vector<std::int64_t> with_width(at::IntArrayRef sizes, std::int64_t width);

enum class Relu { kNo, kYes };

// relu(x weight^T + bias): [N, K] → [N, M]. In float32 a NaN stays one.
[[nodiscard]] at::Tensor linear_rows(const at::Tensor& x_NK, const at::Tensor& weight_MK,
                                     const at::Tensor& bias_M, Relu relu = Relu::kNo);

// dy^T x, in float32.
[[nodiscard]] at::Tensor weight_gradient(const at::Tensor& dy_NM, const at::Tensor& x_NK);

// Of results of one shape, at most kMostSums, in float32. `packed_NM`, unless undefined, receives
// the results side by side, in the same pass.
[[nodiscard]] std::vector<at::Tensor> bias_gradients(const std::vector<at::Tensor>& dy_NM,
                                                     const at::Tensor& packed_NM = {});

}  // namespace pergola::cuda
