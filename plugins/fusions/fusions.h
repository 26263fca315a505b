// SPDX-License-Identifier: BSD-3-Clause
// MMF's three baselines (models/fusions.py), with its state-dict keys: a vector of the text and one
// of the image meet in a classifier (concat_bert, concat_bow), or only in the mean of their scores
// (late_fusion). Legend: B = batch, L = words, R = num_features, F = width of a region, D = width
// of the text's vector, C = answers.
#pragma once

#include "fusions_config.h"
#include "pergola/plugin.h"
#include "text_encoders.h"

#include <memory>
#include <string>
#include <vector>

namespace pergola::fusions {

class FusionModel : public BaseModel {
 public:
  // Throws Error{kConfig} as FusionConfig::parse does.
  FusionModel(const Config& config, Text text, Fusion fusion);

  void build() override;

  // With a BERT of attention = "packed": where the words of the batch are, as `token_places`.
  void on_before_batch_transfer(SampleList& batch) const override;

  // Reads the words as nn::read_bert_words does, the image as nn::read_regions. Returns `scores`
  // [B, C]. Throws Error{kData} for another number of regions than num_features.
  ModelOutput forward(const SampleList& batch) override;

  // True with a BERT: of its layers.
  [[nodiscard]] bool enable_recompute() override;

  // `gamma` and `beta` of BERT's first release; Hugging Face's names are in plugin.toml.
  [[nodiscard]] std::string format_state_key(const std::string& key) const override;
  [[nodiscard]] std::vector<ParameterGroup> optimizer_parameters(
      const Config& optimizer_config) const override;

 private:
  void freeze();
  [[nodiscard]] at::Tensor see_image(const SampleList& batch);

  const Fusion fusion_;
  const FusionConfig options_;
  std::shared_ptr<TextEncoder> text_;
  std::shared_ptr<nn::ImageEncoder> image_encoder_;  // null: the batch has region features
  std::shared_ptr<nn::Mlp> classifier_;              // of kConcat
  std::shared_ptr<nn::Mlp> modal_classifier_, text_classifier_;  // of kLate
};

class ConcatBert final : public FusionModel {
 public:
  explicit ConcatBert(const Config& config) : FusionModel(config, Text::kBert, Fusion::kConcat) {}
};

class ConcatBow final : public FusionModel {
 public:
  explicit ConcatBow(const Config& config)
      : FusionModel(config, Text::kBagOfWords, Fusion::kConcat) {}
};

class LateFusion final : public FusionModel {
 public:
  explicit LateFusion(const Config& config) : FusionModel(config, Text::kBert, Fusion::kLate) {}
};

}  // namespace pergola::fusions
