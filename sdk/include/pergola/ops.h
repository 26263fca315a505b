// SPDX-License-Identifier: BSD-3-Clause
// Operators for which LibTorch needs several kernels and several ways through the GPU's memory, as
// one: with gradients, under autocast, and in CUDA graphs. They are LibTorch operators of the
// library "pergola". On the CPU, and on a GPU without the host's kernels, each is its form in
// ops::unfused. The fused form differs from that by rounding: it sums in float32, and its result
// has the type of its first input, or autocast's. Shapes and types that it does not know take the
// unfused one, and so does all where only deterministic operators are allowed and it is none.
// Free functions; used on the training thread.
// Legend: N = rows, D = width, K = inputs, M = outputs of a linear layer, F = width in between;
// B = batch, R = rows of a sample, A = vectors of a sample, few.
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

enum class Activation { kNone, kRelu };

// What linear() computes with. With weight_g, which is one number, the weight is
// weight_g * weight / ||weight||, with one norm over the whole matrix (weight normalization).
struct LinearLayer {
  at::Tensor weight_MK;
  at::Tensor bias_M;
  at::Tensor weight_g = {};  // undefined: the weight as it is
  Activation activation = Activation::kNone;
};

// activation(x weight^T + bias): x [..., K] → [..., M]. Fused in half precision, a normalized
// weight from float32; what there is of ReLU and bias is in the products and in one pass over the
// gradient. The result's rows begin at 16 bytes: where M is no multiple of 8, it is not dense. A
// ReLU of half precision may make 0 of NaN. Fused in float32 where M and K are multiples of 8.
[[nodiscard]] PERGOLA_API at::Tensor linear(const at::Tensor& x, const LinearLayer& layer);

// bias + dot_rows(linear(x, layer), y), as attention's scores of few queries over projected rows:
// x [B, R, K], y [B, A, M] → [B, R, A]. Fused as both; the gradient of the layer's result is made
// once, behind its activation.
[[nodiscard]] PERGOLA_API at::Tensor linear_dot_rows(const at::Tensor& x_BRK,
                                                     const LinearLayer& layer,
                                                     const at::Tensor& y_BAM,
                                                     const at::Tensor& bias_A);

// x[rows]: [R, ...] → [N, ...], with 0 where rows is -1; int64 rows [N]. For tokens without their
// padding.  REQUIRES: no row is there twice, and all are below R; on a GPU another ends in an
// assertion of the device.
[[nodiscard]] PERGOLA_API at::Tensor gather_rows(const at::Tensor& x, const at::Tensor& rows_N);

// The inverse: [N, ...] → [count, ...]; x[i] stands at rows[i], or nowhere for -1, and 0 in
// between.  REQUIRES: no row is there twice.
[[nodiscard]] PERGOLA_API at::Tensor scatter_rows(const at::Tensor& x, const at::Tensor& rows_N,
                                                  std::int64_t count);

// The products of each row with few vectors, as attention's scores of few queries over regions:
// x [B, R, D], y [B, A, D] → [B, R, A]. Fused for A of at most 4 and D of a multiple of 8.
[[nodiscard]] PERGOLA_API at::Tensor dot_rows(const at::Tensor& x_BRD, const at::Tensor& y_BAD);

// Few weighted sums of the rows, as what such attention reads: weights [B, R, A], x [B, R, D] →
// [B, A, D]. Fused as above.
[[nodiscard]] PERGOLA_API at::Tensor sum_rows(const at::Tensor& weights_BRA,
                                              const at::Tensor& x_BRD);

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
[[nodiscard]] PERGOLA_API at::Tensor linear(const at::Tensor& x, const LinearLayer& layer);
[[nodiscard]] PERGOLA_API at::Tensor linear_dot_rows(const at::Tensor& x_BRK,
                                                     const LinearLayer& layer,
                                                     const at::Tensor& y_BAM,
                                                     const at::Tensor& bias_A);
[[nodiscard]] PERGOLA_API at::Tensor gather_rows(const at::Tensor& x, const at::Tensor& rows_N);
[[nodiscard]] PERGOLA_API at::Tensor scatter_rows(const at::Tensor& x, const at::Tensor& rows_N,
                                                  std::int64_t count);
[[nodiscard]] PERGOLA_API at::Tensor dot_rows(const at::Tensor& x_BRD, const at::Tensor& y_BAD);
[[nodiscard]] PERGOLA_API at::Tensor sum_rows(const at::Tensor& weights_BRA,
                                              const at::Tensor& x_BRD);
[[nodiscard]] PERGOLA_API at::Tensor bce_with_logits(const at::Tensor& logits,
                                                     const at::Tensor& targets);
[[nodiscard]] PERGOLA_API at::Tensor cross_entropy(const at::Tensor& logits,
                                                   const at::Tensor& targets, std::int64_t ignored,
                                                   EmptyMean empty);
}  // namespace unfused

}  // namespace pergola::ops
