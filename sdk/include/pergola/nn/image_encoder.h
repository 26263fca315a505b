// SPDX-License-Identifier: BSD-3-Clause
// From an image to regions, as a transformer reads them: features that the batch brings, or pixels,
// so that a model trains without a detector. Modules own their weights; used on the training
// thread. Legend: B = batch, R = regions (rows * columns), F = width of a region.
#pragma once

#include "pergola/config.h"
#include "pergola/export.h"
#include "pergola/sample_list.h"

#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace pergola::nn {

enum class ImageEncoderType {
  kGrid,   // convolutions of stride 2: a region for each place of the last one
  kPatch,  // a region for each square of pixels
};

// {type = "grid" or "patch", params = {...}}
struct PERGOLA_API ImageEncoderConfig {
  ImageEncoderType type = ImageEncoderType::kGrid;
  std::vector<std::int64_t> channels = {32, 64, 128, 128};  // grid: of each convolution
  std::int64_t kernel_size = 3;                             // grid: of all of them, odd
  std::int64_t patch_size = 16;                             // patch: height and width, in pixels
  std::int64_t dim = 768;                                   // patch: width of a region

  // The width of a region.
  [[nodiscard]] std::int64_t out_dim() const {
    return type == ImageEncoderType::kGrid ? channels.back() : dim;
  }

  // How many regions an image [.., 3, height, width] has. Throws Error{kData} for another shape,
  // and for images that are smaller than one region.  [any-thread]
  [[nodiscard]] std::int64_t num_regions(const at::Tensor& image) const;

  // The one that `key` of `config` names; none for "none" and for a key that is missing. Throws
  // Error{kConfig} for another type, unknown params, and numbers out of bounds.  [main-thread]
  [[nodiscard]] static std::optional<ImageEncoderConfig> parse(const Config& config,
                                                               std::string_view key);
};

// Pixels to regions. A region's place is added as sines and cosines of its row and column, since
// the transformer behind has no order of its own.
class PERGOLA_API ImageEncoder : public torch::nn::Module {
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

struct Regions {
  at::Tensor features;  // [B, R, F]
  at::Tensor mask;      // [B, R], not 0 where a region is
};

// `image` through `encoder`; where that is null `image_feature_0` [B, R, F], or [B, k, R, F], which
// counts as B * k samples, or [B, F], one region, with `image_info_0.max_features` [B] where it is
// there. Throws Error{kData} for regions of another width than `width`, the number that the key
// `width_key` of the model's config sets.
[[nodiscard]] PERGOLA_API Regions read_regions(const SampleList& batch, ImageEncoder* encoder,
                                               std::int64_t width, std::string_view width_key);

// The mask of these regions alone, from shapes and counts: no encoder runs.  [any-thread]
[[nodiscard]] PERGOLA_API at::Tensor read_region_mask(
    const SampleList& batch, const std::optional<ImageEncoderConfig>& encoder, std::int64_t width,
    std::string_view width_key);

}  // namespace pergola::nn
