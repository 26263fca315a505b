// SPDX-License-Identifier: BSD-3-Clause
#include "layers.h"

#include <torch/nn/functional/dropout.h>
#include <torch/types.h>

namespace pergola::pythia {

WeightNormLinear::WeightNormLinear(std::int64_t in_dim, std::int64_t out_dim) {
  const torch::nn::Linear initial(in_dim, out_dim);  // for torch's initialisation
  const at::Tensor weight = initial->weight.detach();
  bias_ = register_parameter("bias", initial->bias.detach());
  weight_g_ = register_parameter("weight_g", weight.norm());
  weight_v_ = register_parameter("weight_v", weight);
}

at::Tensor WeightNormLinear::weight() const { return weight_v_ * (weight_g_ / weight_v_.norm()); }

ops::LinearLayer WeightNormLinear::layer(ops::Activation activation) const {
  return {weight_v_, bias_, weight_g_, activation};
}

at::Tensor WeightNormLinear::forward(const at::Tensor& x) const {
  return ops::linear(x, layer(ops::Activation::kNone));
}

at::Tensor WeightNormLinear::forward_relu(const at::Tensor& x) const {
  return ops::linear(x, layer(ops::Activation::kRelu));
}

ElementMultiply::ElementMultiply(std::int64_t image_dim, std::int64_t text_dim,
                                 const CombineConfig& config)
    : dropout_(config.dropout),
      fa_image_(nn::nest(*this, "fa_image.layers.0",
                         std::make_shared<WeightNormLinear>(image_dim, config.hidden_dim))),
      fa_txt_(nn::nest(*this, "fa_txt.layers.0",
                       std::make_shared<WeightNormLinear>(text_dim, config.hidden_dim))) {}

at::Tensor ElementMultiply::forward(const at::Tensor& image_BD, const at::Tensor& text_BQ) const {
  const at::Tensor joint_BH = fa_image_->forward_relu(image_BD) * fa_txt_->forward_relu(text_BQ);
  return at::dropout(joint_BH, dropout_, is_training());
}

at::Tensor ElementMultiply::project(const at::Tensor& image_BRD, const at::Tensor& text_BQ,
                                    const WeightNormLinear& linear) const {
  const at::Tensor text_B1H = fa_txt_->forward_relu(text_BQ).unsqueeze(1);
  if (dropout_ > 0.0 && is_training()) {
    const at::Tensor image_BRH = fa_image_->forward_relu(image_BRD);
    return linear.forward(at::dropout(image_BRH * text_B1H, dropout_, /*train=*/true));
  }
  // (image * text) · w = image · (text * w): without dropout between them the product of [B, R, H],
  // a gigabyte at MMF's sizes, need not exist.
  const at::Tensor query_BAH = text_B1H * linear.weight();
  return ops::linear_dot_rows(image_BRD, fa_image_->layer(ops::Activation::kRelu), query_BAH,
                              linear.bias());
}

LogitClassifier::LogitClassifier(std::int64_t joint_dim, std::int64_t num_answers,
                                 const ClassifierConfig& config)
    : f_o_text_(nn::nest(*this, "f_o_text.layers.0",
                         std::make_shared<WeightNormLinear>(joint_dim, config.text_hidden_dim))),
      f_o_image_(nn::nest(*this, "f_o_image.layers.0",
                          std::make_shared<WeightNormLinear>(joint_dim, config.img_hidden_dim))),
      linear_text_(
          register_module("linear_text", torch::nn::Linear(config.text_hidden_dim, num_answers))),
      linear_image_(
          register_module("linear_image", torch::nn::Linear(config.img_hidden_dim, num_answers))) {}

at::Tensor LogitClassifier::forward(const at::Tensor& joint_BJ) {
  const auto answers = [&](const WeightNormLinear& view, const torch::nn::Linear& linear) {
    return ops::linear(view.forward_relu(joint_BJ), {linear->weight, linear->bias});
  };
  const at::Tensor text_BC = answers(*f_o_text_, linear_text_);
  return answers(*f_o_image_, linear_image_) + text_BC;
}

}  // namespace pergola::pythia
