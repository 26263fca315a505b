// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/ops.h"

#include "pergola/error.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

namespace pergola::ops {
namespace {

template <class Function>
auto find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Function>();
}

at::Tensor unfused_feed_forward(const at::Tensor& x, const at::Tensor& weight1,
                                const at::Tensor& bias1, const at::Tensor& weight2,
                                const at::Tensor& bias2, bool tanh) {
  return unfused::feed_forward(x, weight1, bias1, weight2, bias2, tanh ? Gelu::kTanh : Gelu::kErf);
}

using OptionalTensor = std::optional<at::Tensor>;

// As the dispatcher knows it.
LinearLayer layer_of(const at::Tensor& weight, const at::Tensor& bias, const OptionalTensor& g,
                     bool relu) {
  return {weight, bias, g.value_or(at::Tensor()), relu ? Activation::kRelu : Activation::kNone};
}

OptionalTensor weight_g_of(const LinearLayer& layer) {
  return layer.weight_g.defined() ? OptionalTensor(layer.weight_g) : std::nullopt;
}

at::Tensor unfused_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                          const OptionalTensor& weight_g, bool relu) {
  return unfused::linear(x, layer_of(weight, bias, weight_g, relu));
}

at::Tensor unfused_linear_dot_rows(const at::Tensor& x, const at::Tensor& weight,
                                   const at::Tensor& bias, const OptionalTensor& weight_g,
                                   bool relu, const at::Tensor& y, const at::Tensor& dot_bias) {
  return unfused::linear_dot_rows(x, layer_of(weight, bias, weight_g, relu), y, dot_bias);
}

at::Tensor unfused_cross_entropy(const at::Tensor& logits, const at::Tensor& targets,
                                 std::int64_t ignored, bool empty_is_zero) {
  return unfused::cross_entropy(logits, targets, ignored,
                                empty_is_zero ? EmptyMean::kZero : EmptyMean::kNan);
}

}  // namespace

// Whoever has kernels (the host, for CUDA) registers them beside these, and they are preferred.
TORCH_LIBRARY(pergola, library) {
  library.def(
      "dropout_add_layer_norm(Tensor x, Tensor? residual, Tensor weight, Tensor bias, "
      "float dropout, float eps) -> Tensor",
      unfused::dropout_add_layer_norm);
  library.def(
      "embedding_layer_norm(Tensor[] tables, Tensor[] rows, Tensor weight, Tensor bias, "
      "float dropout, float eps) -> Tensor",
      unfused::embedding_layer_norm);
  library.def("projections(Tensor x, Tensor[] weights, Tensor[] biases) -> Tensor[]",
              unfused::projections);
  library.def(
      "feed_forward(Tensor x, Tensor weight1, Tensor bias1, Tensor weight2, Tensor bias2, "
      "bool tanh) -> Tensor",
      unfused_feed_forward);
  library.def("linear(Tensor x, Tensor weight, Tensor bias, Tensor? weight_g, bool relu) -> Tensor",
              unfused_linear);
  library.def(
      "linear_dot_rows(Tensor x, Tensor weight, Tensor bias, Tensor? weight_g, bool relu, "
      "Tensor y, Tensor dot_bias) -> Tensor",
      unfused_linear_dot_rows);
  library.def("gather_rows(Tensor x, Tensor rows) -> Tensor", unfused::gather_rows);
  library.def("scatter_rows(Tensor x, Tensor rows, int count) -> Tensor", unfused::scatter_rows);
  library.def("dot_rows(Tensor x, Tensor y) -> Tensor", unfused::dot_rows);
  library.def("sum_rows(Tensor weights, Tensor x) -> Tensor", unfused::sum_rows);
  library.def("bce_with_logits(Tensor logits, Tensor targets) -> Tensor", unfused::bce_with_logits);
  library.def(
      "cross_entropy(Tensor logits, Tensor targets, int ignored, bool empty_is_zero) -> Tensor",
      unfused_cross_entropy);
}

at::Tensor dropout_add_layer_norm(const at::Tensor& x, const std::optional<at::Tensor>& residual,
                                  const at::Tensor& weight_D, const at::Tensor& bias_D,
                                  double dropout, double eps) {
  static const auto op =
      find<decltype(unfused::dropout_add_layer_norm)>("pergola::dropout_add_layer_norm");
  return op.call(x, residual, weight_D, bias_D, dropout, eps);
}

at::Tensor embedding_layer_norm(at::TensorList tables, at::TensorList rows_N,
                                const at::Tensor& weight_D, const at::Tensor& bias_D,
                                double dropout, double eps) {
  PERGOLA_ASSERT(!tables.empty() && tables.size() == rows_N.size());
  static const auto op =
      find<decltype(unfused::embedding_layer_norm)>("pergola::embedding_layer_norm");
  return op.call(tables, rows_N, weight_D, bias_D, dropout, eps);
}

std::vector<at::Tensor> projections(const at::Tensor& x, at::TensorList weights,
                                    at::TensorList biases) {
  PERGOLA_ASSERT(!weights.empty() && weights.size() == biases.size());
  static const auto op = find<decltype(unfused::projections)>("pergola::projections");
  return op.call(x, weights, biases);
}

at::Tensor feed_forward(const at::Tensor& x, const at::Tensor& weight1_FK,
                        const at::Tensor& bias1_F, const at::Tensor& weight2_MF,
                        const at::Tensor& bias2_M, Gelu form) {
  static const auto op = find<decltype(unfused_feed_forward)>("pergola::feed_forward");
  return op.call(x, weight1_FK, bias1_F, weight2_MF, bias2_M, form == Gelu::kTanh);
}

at::Tensor linear(const at::Tensor& x, const LinearLayer& layer) {
  static const auto op = find<decltype(unfused_linear)>("pergola::linear");
  return op.call(x, layer.weight_MK, layer.bias_M, weight_g_of(layer),
                 layer.activation == Activation::kRelu);
}

at::Tensor linear_dot_rows(const at::Tensor& x_BRK, const LinearLayer& layer,
                           const at::Tensor& y_BAM, const at::Tensor& bias_A) {
  static const auto op = find<decltype(unfused_linear_dot_rows)>("pergola::linear_dot_rows");
  return op.call(x_BRK, layer.weight_MK, layer.bias_M, weight_g_of(layer),
                 layer.activation == Activation::kRelu, y_BAM, bias_A);
}

at::Tensor gather_rows(const at::Tensor& x, const at::Tensor& rows_N) {
  static const auto op = find<decltype(unfused::gather_rows)>("pergola::gather_rows");
  return op.call(x, rows_N);
}

at::Tensor scatter_rows(const at::Tensor& x, const at::Tensor& rows_N, std::int64_t count) {
  static const auto op = find<decltype(unfused::scatter_rows)>("pergola::scatter_rows");
  return op.call(x, rows_N, count);
}

at::Tensor dot_rows(const at::Tensor& x_BRD, const at::Tensor& y_BAD) {
  static const auto op = find<decltype(unfused::dot_rows)>("pergola::dot_rows");
  return op.call(x_BRD, y_BAD);
}

at::Tensor sum_rows(const at::Tensor& weights_BRA, const at::Tensor& x_BRD) {
  static const auto op = find<decltype(unfused::sum_rows)>("pergola::sum_rows");
  return op.call(weights_BRA, x_BRD);
}

at::Tensor bce_with_logits(const at::Tensor& logits, const at::Tensor& targets) {
  static const auto op = find<decltype(unfused::bce_with_logits)>("pergola::bce_with_logits");
  return op.call(logits, targets);
}

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets, std::int64_t ignored,
                         EmptyMean empty) {
  static const auto op = find<decltype(unfused_cross_entropy)>("pergola::cross_entropy");
  return op.call(logits, targets, ignored, empty == EmptyMean::kZero);
}

}  // namespace pergola::ops
