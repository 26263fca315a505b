// SPDX-License-Identifier: BSD-3-Clause
#include "image_encoder.h"

#include <torch/types.h>

#include <cmath>

namespace pergola::visual_bert {
namespace {

constexpr std::int64_t kColours = 3;

// [count, width]: sines, then cosines, of `count` places, with wave lengths from 2 pi to 20000 pi.
at::Tensor waves(std::int64_t count, std::int64_t width, const at::TensorOptions& options) {
  const at::Tensor places = at::arange(count, options).unsqueeze(1);
  const std::int64_t half = width / 2;
  const at::Tensor lengths = at::pow(1e4, at::arange(half, options) / static_cast<double>(half));
  const at::Tensor angles = places / lengths;
  return at::cat({angles.sin(), angles.cos(), at::zeros({count, width - 2 * half}, options)}, 1);
}

// [rows, columns, width]: the first half of each place is of its row, the rest of its column.
at::Tensor places(std::int64_t rows, std::int64_t columns, std::int64_t width,
                  const at::TensorOptions& options) {
  const std::int64_t half = width / 2;
  return at::cat(
      {waves(rows, half, options).unsqueeze(1).expand({rows, columns, half}),
       waves(columns, width - half, options).unsqueeze(0).expand({rows, columns, width - half})},
      /*dim=*/2);
}

}  // namespace

ImageEncoder::ImageEncoder(const ImageEncoderConfig& config) : config_(config) {
  if (config.type == ImageEncoderType::kPatch) {
    convolutions_.push_back(register_module(
        "patch", torch::nn::Conv2d(torch::nn::Conv2dOptions(kColours, config.dim, config.patch_size)
                                       .stride(config.patch_size))));
    return;
  }
  std::int64_t in = kColours;
  for (const std::int64_t out : config.channels) {
    const std::string index = std::to_string(convolutions_.size());
    convolutions_.push_back(register_module(
        "conv_" + index, torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, config.kernel_size)
                                               .stride(2)
                                               .padding(config.kernel_size / 2)
                                               .bias(false))));  // batch norm has one
    norms_.push_back(register_module("norm_" + index, torch::nn::BatchNorm2d(out)));
    in = out;
  }
}

at::Tensor ImageEncoder::regions(const at::Tensor& image) {
  if (config_.type == ImageEncoderType::kPatch) return convolutions_.front()->forward(image);
  at::Tensor x = image.contiguous(at::MemoryFormat::ChannelsLast);  // twice as fast on a CPU
  for (std::size_t i = 0; i < convolutions_.size(); ++i) {
    x = norms_[i]->forward(convolutions_[i]->forward(x)).relu_();
  }
  return x;
}

at::Tensor ImageEncoder::forward(const at::Tensor& image) {
  const std::int64_t smallest =
      config_.type == ImageEncoderType::kPatch ? config_.patch_size : std::int64_t{2};
  if (image.dim() != 4 || image.size(1) != kColours || image.size(2) < smallest ||
      image.size(3) < smallest) {
    throw Error(ErrorKind::kData, "image has the shape ", image.sizes(),
                "; visual_bert's image_encoder expects [batch, 3, height, width] of at least ",
                smallest, " x ", smallest, " pixels");
  }
  const at::Tensor x_BFRC = regions(image);
  const at::Tensor x_BRCF = x_BFRC.permute({0, 2, 3, 1});
  return (x_BRCF + places(x_BRCF.size(1), x_BRCF.size(2), x_BRCF.size(3), x_BRCF.options()))
      .flatten(1, 2);
}

}  // namespace pergola::visual_bert
