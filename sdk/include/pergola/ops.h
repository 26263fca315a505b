// SPDX-License-Identifier: BSD-3-Clause
// Operators for which LibTorch needs several kernels and several ways through the GPU's memory, as
// one: with gradients, under autocast, and in CUDA graphs. They are LibTorch operators of the
// library "pergola". On the CPU, and on a GPU without the host's kernels, each is its form in
// ops::unfused. The fused form differs from that by rounding: it sums in float32, and its result
// has the type of its first input, or autocast's. Shapes and types that it does not know take the
// unfused one, and so does all where only deterministic operators are allowed and it is none.
// Free functions; used on the training thread.
// Legend: N = rows, D = width, K = inputs, M = outputs of a linear layer, F = width in between.
#pragma once

#include "pergola/export.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace pergola::ops {

// layer_norm(residual + dropout(x)) over the last dimension: how each half of a post-norm
// transformer layer ends. x and residual [..., D]; residual may be missing: layer_norm(dropout(x)).
// `dropout`: the probability; 0 outside of training.
[[nodiscard]] PERGOLA_API at::Tensor dropout_add_layer_norm(
    const at::Tensor& x, const std::optional<at::Tensor>& residual, const at::Tensor& weight_D,
    const at::Tensor& bias_D, double dropout, double eps);

// dropout(layer_norm(sum over k of tables[k][rows[k]])), the input of a transformer. Tables
// [*, D]; for each, int64 rows [N], in which -1 adds nothing. → [N, D]. On a GPU the gradients of
// rows that are there several times are summed in an order that changes from run to run.
[[nodiscard]] PERGOLA_API at::Tensor embedding_layer_norm(at::TensorList tables,
                                                          at::TensorList rows_N,
                                                          const at::Tensor& weight_D,
                                                          const at::Tensor& bias_D, double dropout,
                                                          double eps);

// linear(x, weights[i], biases[i]) for each i, as query, key and value are projections of one
// input: x [..., K], weights [M_i, K] → [..., M_i]. Fused in half precision, where all weights are
// of one shape: one product each way, and gradients of weights and biases in float32.
[[nodiscard]] PERGOLA_API std::vector<at::Tensor> projections(const at::Tensor& x,
                                                              at::TensorList weights,
                                                              at::TensorList biases);

enum class Gelu { kErf, kTanh };

// linear(gelu(linear(x, weight1, bias1)), weight2, bias2): x [..., K], weight1 [F, K], weight2
// [M, F] → [..., M]. Fused in half precision alone, where kErf is computed by kTanh's formula: the
// two differ by 5e-4 at most, which is what a bfloat16 near 0.2 is rounded by.
[[nodiscard]] PERGOLA_API at::Tensor feed_forward(const at::Tensor& x, const at::Tensor& weight1_FK,
                                                  const at::Tensor& bias1_F,
                                                  const at::Tensor& weight2_MF,
                                                  const at::Tensor& bias2_M, Gelu form);

// x[rows]: [R, ...] → [N, ...], with 0 where rows is -1; int64 rows [N]. For tokens without their
// padding.  REQUIRES: no row is there twice.
[[nodiscard]] PERGOLA_API at::Tensor gather_rows(const at::Tensor& x, const at::Tensor& rows_N);

// The inverse: [N, ...] → [count, ...]; x[i] stands at rows[i], or nowhere for -1, and 0 in
// between.  REQUIRES: no row is there twice.
[[nodiscard]] PERGOLA_API at::Tensor scatter_rows(const at::Tensor& x, const at::Tensor& rows_N,
                                                  std::int64_t count);

// The mean of the binary cross entropies of sigmoid(logits) against targets in [0, 1], of one
// shape: a 0-d number in float32, or float64 for such logits.
[[nodiscard]] PERGOLA_API at::Tensor bce_with_logits(const at::Tensor& logits,
                                                     const at::Tensor& targets);

enum class EmptyMean { kNan, kZero };  // what the mean of no rows is; torch's is NaN

// The mean of -log_softmax(logits, 1) at the targets, class numbers (int64), over those that are
// not `ignored`; a number as above. logits [N, C, ...], targets [N, ...].
[[nodiscard]] PERGOLA_API at::Tensor cross_entropy(const at::Tensor& logits,
                                                   const at::Tensor& targets, std::int64_t ignored,
                                                   EmptyMean empty);

// The same in LibTorch's own operators.
namespace unfused {
[[nodiscard]] PERGOLA_API at::Tensor dropout_add_layer_norm(
    const at::Tensor& x, const std::optional<at::Tensor>& residual, const at::Tensor& weight_D,
    const at::Tensor& bias_D, double dropout, double eps);
[[nodiscard]] PERGOLA_API at::Tensor embedding_layer_norm(at::TensorList tables,
                                                          at::TensorList rows_N,
                                                          const at::Tensor& weight_D,
                                                          const at::Tensor& bias_D, double dropout,
                                                          double eps);
[[nodiscard]] PERGOLA_API std::vector<at::Tensor> projections(const at::Tensor& x,
                                                              at::TensorList weights,
                                                              at::TensorList biases);
[[nodiscard]] PERGOLA_API at::Tensor feed_forward(const at::Tensor& x, const at::Tensor& weight1_FK,
                                                  const at::Tensor& bias1_F,
                                                  const at::Tensor& weight2_MF,
                                                  const at::Tensor& bias2_M, Gelu form);
[[nodiscard]] PERGOLA_API at::Tensor gather_rows(const at::Tensor& x, const at::Tensor& rows_N);
[[nodiscard]] PERGOLA_API at::Tensor scatter_rows(const at::Tensor& x, const at::Tensor& rows_N,
                                                  std::int64_t count);
[[nodiscard]] PERGOLA_API at::Tensor bce_with_logits(const at::Tensor& logits,
                                                     const at::Tensor& targets);
[[nodiscard]] PERGOLA_API at::Tensor cross_entropy(const at::Tensor& logits,
                                                   const at::Tensor& targets, std::int64_t ignored,
                                                   EmptyMean empty);
}  // namespace unfused

}  // namespace pergola::ops
