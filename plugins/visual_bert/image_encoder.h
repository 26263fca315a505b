// SPDX-License-Identifier: BSD-3-Clause
// From pixels to regions, so that VisualBERT trains without a detector. A region's place is added
// as sines and cosines of its row and column, since the encoder behind has no order of its own.
// Owns its weights; used on one thread. Legend: B = batch, R = regions (rows * columns), F = width
// of a region.
#pragma once

#include "visual_bert_config.h"

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

namespace pergola::visual_bert {

class ImageEncoder : public torch::nn::Module {
 public:
  explicit ImageEncoder(const ImageEncoderConfig& config);

  // [B, 3, height, width] → [B, R, F]. Throws Error{kData} for another shape, and for images that
  // are smaller than one region.
  [[nodiscard]] at::Tensor forward(const at::Tensor& image);

 private:
  [[nodiscard]] at::Tensor regions(const at::Tensor& image);

  const ImageEncoderConfig config_;
  std::vector<torch::nn::Conv2d> convolutions_;
  std::vector<torch::nn::BatchNorm2d> norms_;  // grid: one for each convolution
};

}  // namespace pergola::visual_bert
