// SPDX-License-Identifier: BSD-3-Clause
// The model that the wrong ones are made of, with nothing wrong in itself: the mean word vector and
// the mean colour of each sample, and one layer. Its weights are plain parameters, so that it
// compiles quickly.
// Legend: B = batch, T = words, D = width, C = answers.
#pragma once

#include "pergola/plugin.h"

namespace bad_plugins {

constexpr std::int64_t kWidth = 16;

class TinyModel : public pergola::BaseModel {
 public:
  using BaseModel::BaseModel;
  void build() override;
  pergola::ModelOutput forward(const pergola::SampleList& batch) override;

 protected:
  // [B, 3]: of `image`.
  [[nodiscard]] virtual at::Tensor colours(const pergola::SampleList& batch) const;
  // [B, T], 1 for the words of a sample and 0 for what fills it up: of `text_len`.
  [[nodiscard]] virtual at::Tensor mask(const pergola::SampleList& batch) const;
  // [B, D]: what the two and `text` are made to.
  [[nodiscard]] virtual at::Tensor features(const pergola::SampleList& batch);
  // [B, D] → [B, C].
  [[nodiscard]] at::Tensor answers(const at::Tensor& features_BD) const;
  [[nodiscard]] at::Tensor scores(const pergola::SampleList& batch);

  at::Tensor words_VD_;  // V = text_vocab_size

 private:
  at::Tensor colour_D3_;
  at::Tensor answer_CD_;
  at::Tensor bias_C_;
};

}  // namespace bad_plugins
