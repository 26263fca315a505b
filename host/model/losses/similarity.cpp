// SPDX-License-Identifier: BSD-3-Clause
// Masks here are true for what does not count. A NaN satisfies no comparison, so it always counts,
// and the loss is NaN.
#include "host/model/losses/similarity.h"

#include "host/model/losses/loss_inputs.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <utility>

namespace pergola::host {
namespace {

at::Tensor normalized(const at::Tensor& rows) {
  return rows / rows.norm(2, 1, /*keepdim=*/true).clamp_min(1e-12);
}

// 1/|p| * log(1 + sum over a row of exp(p * (x - base)), but for `left_out`): [B].
at::Tensor log_sum(const at::Tensor& x, double base, const at::Tensor& left_out, double p) {
  // Finite, because the gradient of a row of -inf is NaN.
  constexpr double kNone = -1e30;
  const at::Tensor scaled = at::rsub(x, /*other=*/-p * base, /*alpha=*/-p);  // in one call
  return at::softplus(at::logsumexp(scaled.masked_fill(left_out, kNone), 1)) / std::abs(p);
}

// The sum of the rows but for those `left_out` [B], over all. These are 0, and NaN where `own` is.
at::Tensor mean_of(const at::Tensor& rows, const at::Tensor& left_out, const at::Tensor& own) {
  return at::where(left_out, own * 0, rows).sum() / rows.size(0);
}

// Scores and targets of one shape [B, D], the latter in the type of the former.
std::pair<at::Tensor, at::Tensor> scores_and_targets(const LossInputs& in) {
  const at::Tensor scores = in.scores();
  if (scores.dim() != 2 || scores.sizes() != in.targets().sizes()) {
    throw in.misfit({{"scores", scores}, {"targets", in.targets()}}, "one shape [batch, width]");
  }
  return {scores, in.targets().to(scores.scalar_type())};
}

ParamSpec positive(const char* name, double fallback, const char* meaning) {
  return {.name = name, .fallback = fallback, .meaning = meaning, .low = 1e-6, .high = 1e6};
}

ParamSpec epsilon_spec() {
  return {.name = "epsilon",
          .fallback = 1e-16,
          .meaning = "what differs less from the own pair is the own pair",
          .low = 0};
}

}  // namespace

ComponentSpec MultiSimilarity::spec() {
  return {
      "multi-similarity loss of the model's fused_embedding: samples of one class shall be more "
      "alike than those of different ones",
      {positive("alpha", 50, "how sharply negatives count"),
       positive("beta", 2, "how sharply positives count"),
       {.name = "margin", .fallback = 0.5, .meaning = "the similarity between alike and not"},
       {.name = "hard_mining",
        .fallback = true,
        .meaning = "only pairs count that are harder than the hardest of the other kind, less 0.1"},
       {.name = "is_multilabel",
        .fallback = false,
        .meaning = "targets are [batch, classes], several a sample"}}};
}

MultiSimilarity::MultiSimilarity(const Config& params)
    : alpha_(params.get<double>("alpha")),
      beta_(params.get<double>("beta")),
      margin_(params.get<double>("margin")),
      hard_mining_(params.get<bool>("hard_mining")),
      is_multilabel_(params.get<bool>("is_multilabel")) {}

LossMap MultiSimilarity::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("ms_loss", batch, output);
  const at::Tensor embeddings = in.field("fused_embedding");
  const at::Tensor& targets = in.targets();
  if (embeddings.dim() != 2 || targets.size(0) != embeddings.size(0) ||
      targets.dim() != (is_multilabel_ ? 2 : 1)) {
    throw in.misfit({{"fused_embedding", embeddings}, {"targets", targets}},
                    is_multilabel_ ? "embeddings [batch, width] and targets [batch, classes]"
                                   : "embeddings [batch, width] and targets [batch], or "
                                     "is_multilabel = true");
  }
  const at::Tensor unit = normalized(embeddings);
  const at::Tensor x = row_products(unit, unit);
  at::Tensor not_negative = targets.unsqueeze(1).eq(targets.unsqueeze(0));
  if (is_multilabel_) {
    const at::Tensor labels = targets.to(x.scalar_type());
    not_negative = row_products(labels, labels).gt(1e-5);
  }
  constexpr double kIdentical = 1 - 1e-5;  // a sample itself, or its double
  const at::Tensor found = x.detach();
  at::Tensor not_positive = not_negative.logical_not().logical_or_(found.ge(kIdentical));
  not_positive.diagonal().fill_(true);  // an embedding of zeros is not like itself
  if (hard_mining_) {
    constexpr double kSlack = 0.1;
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const at::Tensor least = found.masked_fill(not_positive, kInfinity).amin(1, true);
    const at::Tensor most = found.masked_fill(not_negative, -kInfinity).amax(1, true);
    not_negative.logical_or_(found.le(least - kSlack));
    not_positive.logical_or_(found.ge(most + kSlack));
  }
  const at::Tensor rows =
      log_sum(x, margin_, not_positive, -beta_) + log_sum(x, margin_, not_negative, alpha_);
  return {{"", mean_of(rows, not_positive.all(1).logical_or_(not_negative.all(1)), x.diagonal())}};
}

ComponentSpec RefinerMs::spec() {
  return {
      "multi-similarity loss of scores against all targets of the batch, by dot product; the "
      "sample's own target is the positive",
      {positive("alpha", 50, "how sharply negatives count"),
       positive("beta", 2, "how sharply the positive counts"),
       {.name = "base",
        .fallback = 0.5,
        .meaning = "the similarity between alike and not",
        .low = -1e6,
        .high = 1e6},
       {.name = "margin",
        .fallback = 0.1,
        .meaning = "negatives count from this much below the positive"},
       epsilon_spec()}};
}

RefinerMs::RefinerMs(const Config& params)
    : alpha_(params.get<double>("alpha")),
      beta_(params.get<double>("beta")),
      base_(params.get<double>("base")),
      margin_(params.get<double>("margin")),
      epsilon_(params.get<double>("epsilon")) {}

LossMap RefinerMs::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("refiner_ms", batch, output);
  const auto [scores, targets] = scores_and_targets(in);
  const at::Tensor x = row_products(scores, targets);
  const at::Tensor own = x.diagonal();
  const at::Tensor own_B1 = own.detach().unsqueeze(1);
  const at::Tensor found = x.detach();
  const at::Tensor not_negative =
      (found - own_B1).abs_().le(epsilon_).logical_or_(found.le(own_B1 - margin_));
  const at::Tensor rows =
      at::softplus(base_ - own, beta_) + log_sum(x, base_, not_negative, alpha_);
  return {{"", mean_of(rows, not_negative.all(1), own)}};
}

ComponentSpec RefinerContrastive::spec() {
  return {"how much closer scores are to the batch's other targets than to their own, by cosine",
          {{.name = "sim_thresh",
            .fallback = 0.1,
            .meaning = "others count from this much below the own target"},
           epsilon_spec()}};
}

RefinerContrastive::RefinerContrastive(const Config& params)
    : sim_thresh_(params.get<double>("sim_thresh")), epsilon_(params.get<double>("epsilon")) {}

LossMap RefinerContrastive::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("refiner_contrastive_loss", batch, output);
  const auto [scores, targets] = scores_and_targets(in);
  const at::Tensor x = row_products(normalized(scores), normalized(targets));
  const at::Tensor own = x.diagonal();
  const at::Tensor excess = x - own.unsqueeze(1);
  const at::Tensor found = excess.detach();
  const at::Tensor not_negative = found.le(-sim_thresh_).logical_or_(found.abs().le(epsilon_));
  const at::Tensor sums = excess.add(sim_thresh_).masked_fill(not_negative, 0).sum(1);
  return {{"", (sums / not_negative.logical_not().sum(1).clamp_min(1)).mean()}};
}

}  // namespace pergola::host
