// SPDX-License-Identifier: BSD-3-Clause
// MMBT (Kiela et al., "Supervised Multimodal Bitransformers for Classifying Images and Text",
// 2019), MMF's model of that name with its state-dict keys. Image regions are projected to words:
// with positions and a segment of their own, between the text's first and last token, before the
// text. Legend: B = batch, L = words, R = regions, F = width of a region, M = regions with their
// start and end, D = hidden_size, C = answers, N = tokens of image and text without padding.
#pragma once

#include "mmbt_config.h"
#include "pergola/nn/bert_heads.h"
#include "pergola/plugin.h"

#include <memory>
#include <string>
#include <vector>

namespace pergola::mmbt {

class Mmbt final : public BaseModel {
 public:
  // Throws Error{kConfig} as MmbtConfig::parse does.
  explicit Mmbt(const Config& config);

  void build() override;

  // With attention = "packed": where the tokens of the batch are, as `token_places`.
  void on_before_batch_transfer(SampleList& batch) const override;

  // Reads the words as nn::read_bert_words does, the image as nn::read_regions, and with the head
  // pretraining `lm_label_ids` [B, L]. `modal_token_type_ids` [B, 1 or M]: when it is there.
  // Returns `scores` [B, C], or its own `masked_lm_loss`.
  ModelOutput forward(const SampleList& batch) override;

  [[nodiscard]] bool makes_losses() const override;
  [[nodiscard]] bool enable_recompute() override;  // of the encoder's layers
  // MMF's earlier `base.*`, and `gamma`, `beta` of BERT's first release.
  [[nodiscard]] std::string format_state_key(const std::string& key) const override;
  [[nodiscard]] std::vector<ParameterGroup> optimizer_parameters(
      const Config& optimizer_config) const override;

 private:
  void build_modal_encoder();
  void freeze();
  // The words' own numbers at the begin and the end of the image, [B]; undefined where it has none.
  struct ImageEnds {
    at::Tensor start_B, end_B;
  };
  // Takes the end token from `words`, which lose their first one then.
  [[nodiscard]] ImageEnds take_ends(nn::BertWords& words) const;
  // bool [B, M + L]; `text_BL` as take_ends() leaves it.
  [[nodiscard]] at::Tensor present(const at::Tensor& regions_BR, const at::Tensor& text_BL) const;
  void check_image(std::int64_t tokens) const;
  // [B, M + L, D]
  [[nodiscard]] at::Tensor embed(const ImageEnds& ends, const at::Tensor& regions_BRD,
                                 const at::Tensor& modal_types, const nn::BertWords& words);
  // The same of the tokens that `mask` has: [N, D].
  [[nodiscard]] at::Tensor embed_packed(const ImageEnds& ends, const at::Tensor& regions_BRD,
                                        const at::Tensor& modal_types, const nn::BertWords& words,
                                        const nn::TokenMask& mask);
  [[nodiscard]] at::Tensor modal_types(const SampleList& batch, const nn::BertWords& words) const;

  const MmbtConfig options_;
  std::shared_ptr<nn::BertEmbeddings> embeddings_;
  std::shared_ptr<nn::BertEncoder> encoder_;
  std::shared_ptr<nn::BertPooler> pooler_;
  std::shared_ptr<nn::ImageEncoder> image_encoder_;  // null: the batch has region features
  torch::nn::Linear proj_embeddings_{nullptr};
  nn::BertAnswerHead answers_;  // of classification
  std::shared_ptr<nn::BertPretrainingHeads> pretraining_;
};

}  // namespace pergola::mmbt
