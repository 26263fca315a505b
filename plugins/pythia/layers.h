// SPDX-License-Identifier: BSD-3-Clause
// The small layers that Pythia is made of. Modules own their weights; used on one thread.
// Legend: B = batch, R = image regions, H = hidden, Q = question, J = joint, C = answers.
#pragma once

#include "pergola/nn/module.h"
#include "pergola/ops.h"
#include "pythia_config.h"

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include <memory>

namespace pergola::pythia {

// A linear layer whose weight is weight_g * weight_v / ||weight_v||, with one norm over the whole
// matrix and a 0-d weight_g (Salimans and Kingma, 2016; torch's weight_norm with dim=None).
class WeightNormLinear : public torch::nn::Module {
 public:
  WeightNormLinear(std::int64_t in_dim, std::int64_t out_dim);

  // [..., in] → [..., out]
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) const;
  // relu(forward(x)).
  [[nodiscard]] at::Tensor forward_relu(const at::Tensor& x) const;

  // What pergola/ops.h computes with.
  [[nodiscard]] ops::LinearLayer layer(ops::Activation activation) const;
  // The normalised weight, [out, in]; worked out at each call.
  [[nodiscard]] at::Tensor weight() const;
  [[nodiscard]] const at::Tensor& bias() const noexcept { return bias_; }

 private:
  at::Tensor bias_, weight_g_, weight_v_;
};

// relu(fa_image(image)) * relu(fa_txt(text)), then dropout (MMF's non_linear_element_multiply).
class ElementMultiply : public torch::nn::Module {
 public:
  ElementMultiply(std::int64_t image_dim, std::int64_t text_dim, const CombineConfig& config);

  // [B, image], [B, Q] → [B, H]
  [[nodiscard]] at::Tensor forward(const at::Tensor& image_BD, const at::Tensor& text_BQ) const;

  // linear(joint) for the joint features of each region: [B, R, image], [B, Q] → [B, R, A].
  [[nodiscard]] at::Tensor project(const at::Tensor& image_BRD, const at::Tensor& text_BQ,
                                   const WeightNormLinear& linear) const;

 private:
  double dropout_;
  std::shared_ptr<WeightNormLinear> fa_image_, fa_txt_;  // shared: torch::nn children are
};

// The sum of two views of the joint embedding (MMF's logit classifier).
class LogitClassifier : public torch::nn::Module {
 public:
  LogitClassifier(std::int64_t joint_dim, std::int64_t num_answers, const ClassifierConfig& config);

  // [B, J] → [B, C]
  [[nodiscard]] at::Tensor forward(const at::Tensor& joint_BJ);

 private:
  std::shared_ptr<WeightNormLinear> f_o_text_, f_o_image_;
  torch::nn::Linear linear_text_{nullptr}, linear_image_{nullptr};
};

}  // namespace pergola::pythia
