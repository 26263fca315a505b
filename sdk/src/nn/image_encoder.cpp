// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/nn/image_encoder.h"

#include "pergola/error.h"
#include "pergola/nn/batch_norm.h"
#include "pergola/nn/bert_heads.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

namespace pergola::nn {
namespace {

constexpr std::int64_t kColours = 3;
constexpr std::int64_t kMaxImageDim = 1 << 16;
constexpr std::int64_t kMaxConvolutions = 64;
constexpr std::int64_t kMaxKernel = 31;

ImageEncoderConfig parse_grid(const Config& params) {
  params.allow_only({"channels", "kernel_size"});
  ImageEncoderConfig encoder;
  encoder.channels = params.get<std::vector<std::int64_t>>("channels", encoder.channels);
  if (encoder.channels.empty() || encoder.channels.size() > kMaxConvolutions ||
      std::ranges::any_of(encoder.channels, [](auto n) { return n < 1 || n > kMaxImageDim; })) {
    throw params.error("channels", concat("must list the channels of 1 to ", kMaxConvolutions,
                                          " convolutions, each from 1 to ", kMaxImageDim));
  }
  encoder.kernel_size = params.get_integer("kernel_size", encoder.kernel_size, 1, kMaxKernel);
  if (encoder.kernel_size % 2 == 0) {
    throw params.error("kernel_size", "must be odd, so that it has a middle");
  }
  return encoder;
}

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

void check_image(const ImageEncoderConfig& config, const at::Tensor& image) {
  const std::int64_t smallest =
      config.type == ImageEncoderType::kPatch ? config.patch_size : std::int64_t{2};
  if (image.dim() == 4 && image.size(1) == kColours && image.size(2) >= smallest &&
      image.size(3) >= smallest) {
    return;
  }
  throw Error(ErrorKind::kData, "image has the shape ", image.sizes(),
              "; the image_encoder expects [batch, 3, height, width] of at least ", smallest, " x ",
              smallest, " pixels");
}

// [B, R, F] of the field.
at::Tensor read_features(const SampleList& batch, std::int64_t width, std::string_view width_key) {
  at::Tensor features = without_choices(batch.tensor("image_feature_0"), /*dims=*/3);
  if (features.dim() == 2) features = features.unsqueeze(1);
  if (features.dim() == 3 && features.size(2) == width) return features;
  throw Error(ErrorKind::kData, "image_feature_0 has the shape ", features.sizes(),
              "; the model expects [batch, regions, ", width, "]; set ", width_key,
              " to the width of the features");
}

at::Tensor mask_of(const SampleList& batch, const at::Tensor& features_BRF) {
  const at::Tensor places_R =
      at::arange(features_BRF.size(1), features_BRF.options().dtype(at::kLong));
  const char* const info = "image_info_0";
  if (!batch.has(info) || !batch.group(info).has("max_features")) {
    return at::ones_like(places_R).expand({features_BRF.size(0), -1});
  }
  const at::Tensor counts_B = batch.group(info).tensor("max_features").flatten();
  return places_R.lt(counts_B.unsqueeze(1));
}

}  // namespace

std::int64_t ImageEncoderConfig::num_regions(const at::Tensor& image) const {
  check_image(*this, image);
  std::int64_t rows = image.size(2);
  std::int64_t columns = image.size(3);
  if (type == ImageEncoderType::kPatch) return (rows / patch_size) * (columns / patch_size);
  for (std::size_t i = 0; i < channels.size(); ++i) {  // of stride 2, padded by half a kernel
    rows = (rows + 1) / 2;
    columns = (columns + 1) / 2;
  }
  return rows * columns;
}

std::optional<ImageEncoderConfig> ImageEncoderConfig::parse(const Config& config,
                                                            std::string_view key) {
  if (!config.has(key)) return std::nullopt;
  const TypedConfig typed = config.typed(key);
  typed.options.allow_only({"type", "params"});
  if (typed.type == "none") return std::nullopt;
  if (typed.type == "grid") return parse_grid(typed.params);
  if (typed.type != "patch") {
    throw Error(ErrorKind::kConfig, typed.where, " has type '", typed.type,
                "', which is not one of none, grid, patch",
                did_you_mean(typed.type, {"none", "grid", "patch"}));
  }
  typed.params.allow_only({"patch_size", "dim"});
  ImageEncoderConfig encoder;
  encoder.type = ImageEncoderType::kPatch;
  encoder.patch_size = typed.params.get_integer("patch_size", encoder.patch_size, 1, kMaxImageDim);
  encoder.dim = typed.params.get_integer("dim", encoder.dim, 1, kMaxImageDim);
  return encoder;
}

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
    x = batch_norm(norms_[i], convolutions_[i]->forward(x)).relu_();
  }
  return x;
}

at::Tensor ImageEncoder::forward(const at::Tensor& image) {
  check_image(config_, image);
  const at::Tensor x_BFRC = regions(image);
  const at::Tensor x_BRCF = x_BFRC.permute({0, 2, 3, 1});
  return (x_BRCF + places(x_BRCF.size(1), x_BRCF.size(2), x_BRCF.size(3), x_BRCF.options()))
      .flatten(1, 2);
}

Regions read_regions(const SampleList& batch, ImageEncoder* encoder, std::int64_t width,
                     std::string_view width_key) {
  if (encoder != nullptr) {
    const at::Tensor regions_BRF = encoder->forward(batch.tensor("image"));
    return {regions_BRF,
            at::ones(regions_BRF.sizes().slice(0, 2), regions_BRF.options().dtype(at::kBool))};
  }
  const at::Tensor features_BRF = read_features(batch, width, width_key);
  return {features_BRF, mask_of(batch, features_BRF)};
}

at::Tensor read_region_mask(const SampleList& batch,
                            const std::optional<ImageEncoderConfig>& encoder, std::int64_t width,
                            std::string_view width_key) {
  if (!encoder) return mask_of(batch, read_features(batch, width, width_key));
  const at::Tensor& image = batch.tensor("image");
  const std::int64_t regions = encoder->num_regions(image);
  return at::ones({image.size(0), regions}, image.options().dtype(at::kBool));
}

}  // namespace pergola::nn
