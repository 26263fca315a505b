// SPDX-License-Identifier: BSD-3-Clause
// How the regions of an image come to be: features of the batch as they are, through a fine-tuned
// layer, or from pixels.
// Legend: B = batch, R = regions, D = width of a region, N = height and width of an image.
#pragma once

#include "pergola/sample_list.h"
#include "pythia_config.h"

#include <torch/nn/module.h>

#include <memory>

namespace pergola::pythia {

struct Regions {
  at::Tensor features_BRD;
  at::Tensor counts_B;  // how many of the regions are real; undefined when all are
};

class ImageEncoder : public torch::nn::Module {
 public:
  // Throws Error{kData} when the batch lacks the field, or it has another shape; Error{kConfig} in
  // training when a batch norm would see one number only.
  [[nodiscard]] virtual Regions forward(const SampleList& batch) = 0;
  // True for weights that come from elsewhere and are only fine-tuned, at a tenth of the rate.
  [[nodiscard]] virtual bool is_fine_tuned() const noexcept { return false; }
};

// `feature_index`: which image_feature_<i> it reads, if it reads features.
[[nodiscard]] std::shared_ptr<ImageEncoder> make_encoder(const EncoderConfig& config,
                                                         std::int64_t feature_index);

}  // namespace pergola::pythia
