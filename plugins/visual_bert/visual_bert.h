// SPDX-License-Identifier: BSD-3-Clause
// VisualBERT (Li et al., "VisualBERT: A Simple and Performant Baseline for Vision and Language",
// 2019), MMF's model of that name with its state-dict keys, so that released weights load. Words
// and image regions are one sequence of a BERT. Legend: B = batch (twice that of the data with
// nlvr2), L = words, R = regions, F = width of a region, D = hidden_size, C = answers, N =
// words and regions without padding.
#pragma once

#include "embeddings.h"
#include "pergola/nn/bert_heads.h"
#include "pergola/nn/image_encoder.h"
#include "pergola/plugin.h"
#include "visual_bert_config.h"

#include <memory>
#include <string>
#include <vector>

namespace pergola::visual_bert {

class VisualBert final : public BaseModel {
 public:
  // Throws Error{kConfig} as VisualBertConfig::parse does.
  explicit VisualBert(const Config& config);

  void build() override;

  // With attention = "packed": where the words and regions of the batch are, as `token_places`, and
  // with bypass_transformer where its words are, as `text_places`.
  void on_before_batch_transfer(SampleList& batch) const override;

  // Reads the words as `input_ids` with `input_mask` and `segment_ids`, all int64 [B, L] (or
  // [B, k, L], which counts as B * k samples), or as `text` [B, L] with `text_len` [B]; the image
  // as `image_feature_0` [B, R, F] with `image_info_0.max_features` [B], or with image_encoder as
  // `image` [B, 3, height, width]. For nlvr2 both are in the groups `img0` and `img1`.
  // `image_text_alignment` [B, R, K] (for nlvr2 in both groups, or the batch's for both),
  // `lm_label_ids` [B, L]: when they are there. Throws Error{kData} for alignments that do not fit.
  // Returns `scores` [B, C], or with the head pretraining its own `masked_lm_loss`. The fields
  // `hidden_states_<i>` and `attentions_<i>` come with output_hidden_states, output_attentions.
  ModelOutput forward(const SampleList& batch) override;

  [[nodiscard]] bool makes_losses() const override;
  [[nodiscard]] bool enable_recompute() override;  // of the encoder's layers

  // Of MMF's earlier releases (state_names.h); Hugging Face's are in plugin.toml.
  [[nodiscard]] std::string format_state_key(const std::string& key) const override;

  // Weights that know words alone: what is of images begins anew from them
  // (special_visual_initialize).
  void on_pretrained_loaded(const LoadReport& report) override;

  // Biases and LayerNorms without decay; finetune_lr_multiplier for all but the head.
  [[nodiscard]] std::vector<ParameterGroup> optimizer_parameters(
      const Config& optimizer_config) const override;

 private:
  [[nodiscard]] nn::Regions read_regions(const SampleList& batch);
  [[nodiscard]] nn::Regions read_both_images(const SampleList& batch);
  // Are hidden states [N, D] from their begin to the encoder's end, or [B, L + R, D]?
  [[nodiscard]] bool is_packed() const;
  [[nodiscard]] at::Tensor encode(const SampleList& batch, const nn::BertWords& words,
                                  const nn::Regions& regions, const nn::TokenMask& all,
                                  nn::BertTrace* trace);
  [[nodiscard]] at::Tensor encode_bypassing(const SampleList& batch, const at::Tensor& input_BTD,
                                            const nn::BertWords& words, const nn::TokenMask& all,
                                            nn::BertTrace* trace);
  [[nodiscard]] at::Tensor pool(const at::Tensor& hidden, const nn::BertWords& words,
                                const nn::TokenMask& all);

  const VisualBertConfig options_;
  std::shared_ptr<nn::ImageEncoder> image_encoder_;  // null: the batch has region features
  std::shared_ptr<VisualBertEmbeddings> embeddings_;
  std::shared_ptr<nn::BertEncoder> encoder_;
  std::shared_ptr<nn::BertPooler> pooler_;
  std::shared_ptr<nn::BertLayer> additional_layer_;  // bypass_transformer's
  nn::BertAnswerHead answers_;                       // of classification and nlvr2
  std::shared_ptr<nn::BertPretrainingHeads> pretraining_;
};

}  // namespace pergola::visual_bert
