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

at::Tensor gather_rows(const at::Tensor& x, const at::Tensor& rows_N) {
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
