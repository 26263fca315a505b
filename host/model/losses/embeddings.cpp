// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/losses/embeddings.h"

#include "host/model/losses/loss_inputs.h"

#include <ATen/ATen.h>

namespace pergola::host {

ComponentSpec Mse::spec() { return {"mean squared error of scores against targets"}; }

LossMap Mse::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("mse", batch, output);
  const at::Tensor scores = in.scores();
  if (scores.sizes() != in.targets().sizes()) {
    throw in.misfit({{"scores", scores}, {"targets", in.targets()}}, "one shape [batch, ...]");
  }
  return {{"", at::mse_loss(scores, in.targets().to(scores.scalar_type()))}};
}

ComponentSpec CosineEmbedding::spec() {
  return {"1 - cosine of scores and targets [batch, width]; the mean over the batch"};
}

LossMap CosineEmbedding::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("cos_emb_loss", batch, output);
  const at::Tensor scores = in.scores();
  if (scores.dim() != 2 || scores.sizes() != in.targets().sizes()) {
    throw in.misfit({{"scores", scores}, {"targets", in.targets()}}, "one shape [batch, width]");
  }
  return {{"", at::cosine_embedding_loss(scores, in.targets().to(scores.scalar_type()),
                                         at::ones(scores.size(0), scores.options()))}};
}

ComponentSpec InBatchHinge::spec() {
  return {
      "hinge loss of images (scores) against texts (the model's `targets`): own pairs shall score "
      "higher than the batch's other pairs, by the margin",
      {{.name = "margin", .fallback = 0.0, .meaning = "by how much"},
       {.name = "hard",
        .fallback = false,
        .meaning = "only each image's and each text's worst other pair counts"}}};
}

InBatchHinge::InBatchHinge(const Config& params)
    : margin_(params.get<double>("margin")), hard_(params.get<bool>("hard")) {}

LossMap InBatchHinge::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("in_batch_hinge", batch, output);
  const at::Tensor images = in.scores();
  const at::Tensor texts = in.field("targets").to(images.scalar_type());
  if (images.dim() != 2 || texts.dim() != 2 || images.size(1) != texts.size(1) ||
      texts.size(0) % images.size(0) != 0) {
    throw in.misfit({{"scores", images}, {"the model's targets", texts}},
                    "images [batch, width] and texts [batch, width], or k times as many texts");
  }
  const std::int64_t b = images.size(0);
  // [k, image, text]: text j of image i is row i * k + j.
  const at::Tensor pairs =
      row_products(images, texts).view({b, b, texts.size(0) / b}).permute({2, 0, 1});
  const at::Tensor own = pairs.diagonal(0, 1, 2);  // [k, B]
  // A factor and no fill, so that an own pair that is NaN or infinite shows in the sum.
  const at::Tensor others = 1 - at::eye(b, pairs.options());
  const at::Tensor raised = pairs + margin_;
  const at::Tensor of_image = (raised - own.unsqueeze(2)).clamp_min(0);
  const at::Tensor of_text = (raised - own.unsqueeze(1)).clamp_min(0);
  if (!hard_) return {{"", ((of_image + of_text) * others).sum()}};
  const at::Tensor worst_texts = std::get<0>((of_image * others).max(2));
  const at::Tensor worst_images = std::get<0>((of_text * others).max(1));
  return {{"", worst_texts.sum() + worst_images.sum()}};
}

ComponentSpec Contrastive::spec() {
  return {
      "cross entropy of each sample's embedding_1 against all embedding_2, and the other way "
      "round, divided by the model's temperature; the mean of both"};
}

LossMap Contrastive::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("contrastive_loss", batch, output);
  const at::Tensor first = in.field("embedding_1");
  const at::Tensor second = in.field("embedding_2").to(first.scalar_type());
  const at::Tensor temperature = in.field("temperature");
  if (first.dim() != 2 || first.sizes() != second.sizes() || temperature.numel() != 1) {
    throw in.misfit({{"embedding_1", first}, {"embedding_2", second}, {"temperature", temperature}},
                    "embeddings of one shape [batch, width] and a temperature of one element");
  }
  const at::Tensor logits = row_products(first, second) / temperature.reshape({});
  // Along rows both times: a GPU is three times slower along columns.
  const at::Tensor log_q = at::log_softmax(logits, 1) + at::log_softmax(logits.t().contiguous(), 1);
  return {{"", log_q.diagonal().sum() / (-2 * first.size(0))}};
}

}  // namespace pergola::host
