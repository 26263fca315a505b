// SPDX-License-Identifier: BSD-3-Clause
#include "tiny_model.h"

#include <ATen/ATen.h>

namespace bad_plugins {

void TinyModel::build() {
  const auto words = config().get_fact("text_vocab_size", "words");
  const auto answers = config().get_fact("num_final_outputs", "answers");
  constexpr double kSpread = 0.5;
  words_VD_ = register_parameter("words", at::randn({words, kWidth}) * kSpread);
  colour_D3_ = register_parameter("colour", at::randn({kWidth, 3}) * kSpread);
  answer_CD_ = register_parameter("answer", at::randn({answers, kWidth}) * kSpread);
  bias_C_ = register_parameter("bias", at::zeros({answers}));
}

pergola::ModelOutput TinyModel::forward(const pergola::SampleList& batch) {
  return {.scores = scores(batch)};
}

at::Tensor TinyModel::colours(const pergola::SampleList& batch) const {
  return batch.tensor("image").mean({2, 3});
}

at::Tensor TinyModel::mask(const pergola::SampleList& batch) const {
  const auto& text_BT = batch.tensor("text");
  const auto place_T = at::arange(text_BT.size(1), text_BT.options());
  return (place_T < batch.tensor("text_len").unsqueeze(1)).to(words_VD_.scalar_type());
}

at::Tensor TinyModel::features(const pergola::SampleList& batch) {
  const auto words_BTD = at::embedding(words_VD_, batch.tensor("text"));
  const auto mask_BT1 = mask(batch).unsqueeze(2);
  const auto text_BD = (words_BTD * mask_BT1).sum(1) / mask_BT1.sum(1);
  return at::tanh(text_BD + at::linear(colours(batch), colour_D3_));
}

at::Tensor TinyModel::answers(const at::Tensor& features_BD) const {
  return at::linear(features_BD, answer_CD_, bias_C_);
}

at::Tensor TinyModel::scores(const pergola::SampleList& batch) { return answers(features(batch)); }

}  // namespace bad_plugins
