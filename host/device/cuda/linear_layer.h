// SPDX-License-Identifier: BSD-3-Clause
// One ops::LinearLayer in half precision or float32, in the shapes that products and kernels take:
// rows are whole packs. Used on the training thread and autograd's.
// Legend: N = rows, K = inputs, M = outputs, both up to whole packs.
#pragma once

#include "host/device/cuda/linear_parts.h"

#include <torch/csrc/autograd/custom_function.h>

#include <optional>

namespace pergola::cuda {

// As the operators' schemas have it.
struct LayerArguments {
  const at::Tensor& x;  // [..., inputs]
  const at::Tensor& weight;
  const at::Tensor& bias;
  const std::optional<at::Tensor>& weight_g;
  Relu relu;
};

// Are they what is computed here, in this type?
[[nodiscard]] bool is_fused_layer(const LayerArguments& layer, std::optional<at::ScalarType> type);

class LayerPass {
 public:
  // Forward.  REQUIRES: is_fused_layer().
  LayerPass(const LayerArguments& layer, at::ScalarType type);
  // Backward: what save() kept.
  explicit LayerPass(torch::autograd::AutogradContext& context);

  // activation(x weight^T + bias): [N, M], of which what is behind the outputs is activation(0).
  [[nodiscard]] at::Tensor forward() const;

  // Keeps what the backward pass needs, and `more`, which saved() gives back.
  void save(torch::autograd::AutogradContext& context, const std::vector<at::Tensor>& more) const;
  [[nodiscard]] const at::Tensor& saved(std::size_t i) const { return more_[i]; }

  [[nodiscard]] std::int64_t rows() const { return x_NK_.size(0); }
  [[nodiscard]] std::int64_t width() const { return weight_MK_.size(0); }  // M
  [[nodiscard]] std::int64_t outputs() const { return outputs_; }
  [[nodiscard]] at::ScalarType type() const { return x_NK_.scalar_type(); }
  [[nodiscard]] Relu relu() const { return relu_; }

  // A gradient of the outputs, [..., outputs] → [N, M], with zeros behind them.
  [[nodiscard]] at::Tensor gradient_rows(const at::Tensor& gradient) const;

  struct Gradients {
    at::Tensor x, weight, bias, weight_g;  // undefined where nobody needs them
  };
  // Of x, weight, bias and weight_g, the first of the operator's inputs in this order, weight_g at
  // `g_input`; from the gradient before the activation, [N, M], and its sums [M].
  [[nodiscard]] Gradients backward(torch::autograd::AutogradContext& context,
                                   const at::Tensor& dz_NM, const at::Tensor& dbias_M,
                                   std::size_t g_input) const;

 private:
  void set_weight(const LayerArguments& layer, at::ScalarType type);
  [[nodiscard]] at::Tensor to_gradient_of_v(const at::Tensor& gradient,
                                            const at::Tensor& g_gradient) const;

  std::int64_t outputs_;
  std::vector<std::int64_t> x_sizes_;
  Relu relu_;
  at::Tensor x_NK_, weight_MK_, bias_M_;
  at::Tensor v_, g_, norm_;  // of a normalized weight, in float32; else undefined
  std::vector<at::Tensor> more_;
};

}  // namespace pergola::cuda
