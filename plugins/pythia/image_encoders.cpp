// SPDX-License-Identifier: BSD-3-Clause
#include "image_encoders.h"

#include "layers.h"
#include "pergola/ops.h"

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <string>
#include <vector>

namespace pergola::pythia {
namespace {

constexpr std::int64_t kColours = 3;

// Region features of the batch as they are (MMF's `default`).
class FeatureEncoder : public ImageEncoder {
 public:
  FeatureEncoder(std::int64_t dim, std::int64_t index)
      : dim_(dim), field_(concat("image_feature_", index)), info_(concat("image_info_", index)) {}

  [[nodiscard]] Regions forward(const SampleList& batch) override {
    Regions regions{batch.tensor(field_), {}};
    const at::Tensor& features_BRD = regions.features_BRD;
    if (features_BRD.dim() != 3 || features_BRD.size(1) == 0 || features_BRD.size(2) != dim_) {
      throw Error(ErrorKind::kData, field_, " has the shape ", features_BRD.sizes(),
                  "; expected [batch, regions, ", dim_,
                  "]; set image_feature_dim of the model to the width of your features");
    }
    if (batch.has(info_) && batch.group(info_).has("max_features")) {
      regions.counts_B = batch.group(info_).tensor("max_features");
    }
    return regions;
  }

 private:
  std::int64_t dim_;
  std::string field_;  // "image_feature_0"
  std::string info_;   // "image_info_0"
};

// relu(lc(x)): the detector's last layer, fine-tuned (MMF's `finetune_faster_rcnn_fpn_fc7`).
class Fc7Encoder final : public FeatureEncoder {
 public:
  Fc7Encoder(std::int64_t dim, std::int64_t index)
      : FeatureEncoder(dim, index), lc_(register_module("lc", torch::nn::Linear(dim, dim))) {}

  [[nodiscard]] Regions forward(const SampleList& batch) override {
    Regions regions = FeatureEncoder::forward(batch);
    regions.features_BRD = ops::linear(
        regions.features_BRD,
        {.weight_MK = lc_->weight, .bias_M = lc_->bias, .activation = ops::Activation::kRelu});
    return regions;
  }
  [[nodiscard]] bool is_fine_tuned() const noexcept override { return true; }

 private:
  torch::nn::Linear lc_;
};

// Pixels to a grid of regions: convolutions that halve the image, each with batch norm and ReLU.
class ConvGridEncoder final : public ImageEncoder {
 public:
  explicit ConvGridEncoder(const EncoderConfig& config) {
    std::int64_t in = kColours;
    for (const std::int64_t out : config.channels) {
      const auto options = torch::nn::Conv2dOptions(in, out, config.kernel_size)
                               .stride(2)
                               .padding(config.kernel_size / 2)
                               .bias(false);  // batch norm has one
      const std::string level = concat("layers.", layers_.size(), ".");
      layers_.push_back({nn::nest(*this, level + "conv", torch::nn::Conv2d(options).ptr()),
                         nn::nest(*this, level + "norm", torch::nn::BatchNorm2d(out).ptr())});
      in = out;
    }
  }

  [[nodiscard]] Regions forward(const SampleList& batch) override {
    at::Tensor x_BDNN = batch.tensor("image");
    if (x_BDNN.dim() != 4 || x_BDNN.size(1) != kColours || x_BDNN.numel() == 0) {
      throw Error(ErrorKind::kData, "image has the shape ", x_BDNN.sizes(),
                  "; conv_grid expects [batch, 3, height, width]");
    }
    // Channels last: a third faster on a CPU, and the last grid is a list of regions without a
    // copy.
    x_BDNN = x_BDNN.contiguous(at::MemoryFormat::ChannelsLast);
    for (const Layer& layer : layers_) {
      x_BDNN = layer.conv->forward(x_BDNN);
      if (is_training() && x_BDNN.size(0) * x_BDNN.size(2) * x_BDNN.size(3) == 1) {
        throw Error(ErrorKind::kConfig,
                    "conv_grid cannot be trained on a batch of one image that it shrinks to 1 x 1, "
                    "because batch norm needs more than one number; choose a training.batch_size "
                    "that leaves more than one for the last batch, fewer channels in "
                    "image_feature_encodings, or larger images");
      }
      x_BDNN = layer.norm->forward(x_BDNN).relu_();
    }
    return {x_BDNN.flatten(/*start_dim=*/2).transpose(1, 2), {}};
  }

 private:
  struct Layer {
    std::shared_ptr<torch::nn::Conv2dImpl> conv;
    std::shared_ptr<torch::nn::BatchNorm2dImpl> norm;
  };
  std::vector<Layer> layers_;
};

}  // namespace

std::shared_ptr<ImageEncoder> make_encoder(const EncoderConfig& config,
                                           std::int64_t feature_index) {
  switch (config.type) {
    case EncoderType::kDefault:
      return std::make_shared<FeatureEncoder>(config.dim, feature_index);
    case EncoderType::kFc7:
      return std::make_shared<Fc7Encoder>(config.dim, feature_index);
    case EncoderType::kConvGrid:
      break;
  }
  return std::make_shared<ConvGridEncoder>(config);
}

}  // namespace pergola::pythia
