// SPDX-License-Identifier: BSD-3-Clause
// What MMF's fusions have in common, for the files that define them.
#pragma once

#include "pergola/nn/fusions.h"

#include <ATen/ATen.h>
#include <torch/nn/modules/linear.h>

#include <string>
#include <utility>

namespace pergola::nn {

using torch::nn::Linear;

// Single precision for halves, which lose a square's small numbers and a transform's large sums.
[[nodiscard]] inline at::Tensor at_least_single(const at::Tensor& x) {
  return x.to(at::promote_types(x.scalar_type(), at::kFloat));
}

// sign(z) sqrt(|z|), each row then divided by its length.
[[nodiscard]] at::Tensor signed_root_normalized(const at::Tensor& z_BM);

// What all but concat_mlp end with, and the steps around the product.
class LinearFusion : public Fusion {
 protected:
  LinearFusion(const FusionConfig& config, const FusionInputs& inputs)
      : Fusion(inputs), config_(config) {}

  // Called last, since that is where others have it.
  void make_output(std::int64_t width, std::int64_t output_dim) {
    linear_out_ = register_module("linear_out", Linear(width, output_dim));
  }
  // The two first layers, registered as `name0` and `name1`.
  [[nodiscard]] std::pair<Linear, Linear> make_inputs(const std::string& name0,
                                                      const std::string& name1,
                                                      std::int64_t width) {
    Linear first = register_module(name0, Linear(inputs().dim0, width));
    Linear second = config_.shared ? first : Linear(inputs().dim1, width);
    return {first, register_module(name1, second)};
  }

  [[nodiscard]] at::Tensor drop(const at::Tensor& x, double share) const {
    return at::dropout(x, share, is_training());
  }
  [[nodiscard]] at::Tensor project(Linear& linear, const at::Tensor& x) const {
    const at::Tensor y = linear->forward(x);
    return drop(config_.activ_input ? activate(*config_.activ_input, y) : y, config_.dropout_input);
  }
  [[nodiscard]] at::Tensor output(const at::Tensor& z) {
    const at::Tensor y = linear_out_->forward(z);
    return drop(config_.activ_output ? activate(*config_.activ_output, y) : y,
                config_.dropout_output);
  }
  [[nodiscard]] const FusionConfig& config() const noexcept { return config_; }

 private:
  const FusionConfig config_;
  Linear linear_out_{nullptr};
};

// block, block_tucker, mutan, tucker, mlb, mfb and linear_sum.
[[nodiscard]] std::shared_ptr<Fusion> make_projected_fusion(const FusionConfig& config,
                                                            const FusionInputs& inputs,
                                                            std::int64_t output_dim);

}  // namespace pergola::nn
