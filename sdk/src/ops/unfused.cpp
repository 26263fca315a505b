// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/ops.h"

#include <ATen/ATen.h>

namespace pergola::ops::unfused {
namespace {

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                      double eps) {
  return at::layer_norm(x, weight.sizes(), weight, bias, eps);
}

// Where rows [N] are not -1, as a mask that fits x [N, ...].
at::Tensor present(const at::Tensor& rows, const at::Tensor& x) {
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(x.dim()), 1);
  sizes.front() = rows.size(0);
  return rows.ge(0).view(sizes);
}

at::Tensor weight_of(const LinearLayer& layer) {
  const at::Tensor& weight = layer.weight_MK;
  return layer.weight_g.defined() ? weight * (layer.weight_g / weight.norm()) : weight;
}

at::Tensor at_least_single(const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  return type == at::kFloat || type == at::kDouble ? x : x.to(at::kFloat);
}

}  // namespace

at::Tensor dropout_add_layer_norm(const at::Tensor& x, const std::optional<at::Tensor>& residual,
                                  const at::Tensor& weight_D, const at::Tensor& bias_D,
                                  double dropout, double eps) {
  const at::Tensor dropped = at::dropout(x, dropout, dropout > 0);
  return layer_norm(residual ? *residual + dropped : dropped, weight_D, bias_D, eps);
}

at::Tensor embedding_layer_norm(at::TensorList tables, at::TensorList rows_N,
                                const at::Tensor& weight_D, const at::Tensor& bias_D,
                                double dropout, double eps) {
  at::Tensor sum_ND = gather_rows(tables[0], rows_N[0]);
  for (std::size_t k = 1; k < tables.size(); ++k) {
    sum_ND = sum_ND + gather_rows(tables[k], rows_N[k]);
  }
  return at::dropout(layer_norm(sum_ND, weight_D, bias_D, eps), dropout, dropout > 0);
}

std::vector<at::Tensor> projections(const at::Tensor& x, at::TensorList weights,
                                    at::TensorList biases) {
  std::vector<at::Tensor> results;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    results.push_back(at::linear(x, weights[i], biases[i]));
  }
  return results;
}

at::Tensor feed_forward(const at::Tensor& x, const at::Tensor& weight1_FK,
                        const at::Tensor& bias1_F, const at::Tensor& weight2_MF,
                        const at::Tensor& bias2_M, Gelu form) {
  const at::Tensor inner = at::linear(x, weight1_FK, bias1_F);
  return at::linear(at::gelu(inner, form == Gelu::kTanh ? "tanh" : "none"), weight2_MF, bias2_M);
}

at::Tensor linear(const at::Tensor& x, const LinearLayer& layer) {
  const at::Tensor weight_MK = weight_of(layer);
  if (layer.activation == Activation::kNone) return at::linear(x, weight_MK, layer.bias_M);
  if (x.dim() <= 2 || !x.is_contiguous()) {
    return at::linear(x, weight_MK, layer.bias_M).relu_();
  }
  // Rows first: relu_ on the view that linear returns for [B, R, D] would make autograd copy the
  // gradient of the whole product.
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.back() = weight_MK.size(0);
  return at::linear(x.flatten(0, -2), weight_MK, layer.bias_M).relu_().view(sizes);
}

at::Tensor linear_dot_rows(const at::Tensor& x_BRK, const LinearLayer& layer,
                           const at::Tensor& y_BAM, const at::Tensor& bias_A) {
  return at::baddbmm(bias_A, unfused::linear(x_BRK, layer), y_BAM.transpose(1, 2));
}

at::Tensor gather_rows(const at::Tensor& x, const at::Tensor& rows_N) {
  if (x.size(0) == 0) {  // which nothing can be selected from
    std::vector<std::int64_t> sizes = x.sizes().vec();
    sizes.front() = rows_N.size(0);
    return x.sum(x.scalar_type()) + at::zeros(sizes, x.options());
  }
  const at::Tensor found = x.index_select(0, rows_N.clamp_min(0));
  return at::where(present(rows_N, found), found, at::zeros({}, found.options()));
}

// What stands nowhere goes to a row behind the last, which is cut off.
at::Tensor scatter_rows(const at::Tensor& x, const at::Tensor& rows_N, std::int64_t count) {
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.front() = count + 1;
  const at::Tensor places = at::where(rows_N.ge(0), rows_N, count);
  return at::zeros(sizes, x.options()).index_copy(0, places, x).narrow(0, 0, count);
}

at::Tensor dot_rows(const at::Tensor& x_BRD, const at::Tensor& y_BAD) {
  return at::bmm(x_BRD, y_BAD.transpose(1, 2));
}

at::Tensor sum_rows(const at::Tensor& weights_BRA, const at::Tensor& x_BRD) {
  return at::bmm(weights_BRA.transpose(1, 2), x_BRD);
}

at::Tensor bce_with_logits(const at::Tensor& logits, const at::Tensor& targets) {
  const at::Tensor x = at_least_single(logits);
  return at::binary_cross_entropy_with_logits(x, targets.to(x.scalar_type()));
}

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets, std::int64_t ignored,
                         EmptyMean empty) {
  const at::Tensor x = at_least_single(logits);
  if (empty == EmptyMean::kNan) {
    return at::cross_entropy_loss(x, targets, /*weight=*/{}, at::Reduction::Mean, ignored);
  }
  const at::Tensor sum =
      at::cross_entropy_loss(x, targets, /*weight=*/{}, at::Reduction::Sum, ignored);
  return sum / targets.ne(ignored).sum().clamp_min(1);
}

}  // namespace pergola::ops::unfused
