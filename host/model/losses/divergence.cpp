// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/losses/divergence.h"

#include "host/model/losses/log_softmax.h"
#include "host/model/losses/loss_inputs.h"

#include <ATen/ATen.h>

namespace pergola::host {
namespace {

// The sum of each row, 1e-6 where it is 0: [B, 1].
at::Tensor row_weights(const at::Tensor& targets) {
  at::Tensor sums = targets.sum(1, /*keepdim=*/true);
  return sums.masked_fill_(sums.eq(0), 1e-6);
}

// The mean over B of the sum of f * (log p - log_softmax(scores)); 0 where f is 0.
at::Tensor divergence(const at::Tensor& scores, const at::Tensor& f, const at::Tensor& p) {
  const at::Tensor divisor = at::full({}, -scores.size(0), at::dtype(scores.scalar_type()));
  return log_softmax_sum(scores, f, /*offset=*/at::xlogy(f, p), divisor);
}

// softmax_kldiv of [B, C] scores and targets.
at::Tensor softmax_kldiv(const at::Tensor& scores, const at::Tensor& targets) {
  const at::Tensor p = targets / row_weights(targets);
  return divergence(scores, p, p);
}

// The two values of bce_kl.
LossMap bce_and_kl(const LossInputs& in, double weight_softmax) {
  const at::Tensor scores = in.scores();
  const at::Tensor targets = in.soft_targets(scores);
  return {{"kl", softmax_kldiv(scores, targets) * weight_softmax},
          {"bce", at::binary_cross_entropy_with_logits(scores, targets) * targets.size(1)}};
}

ParamSpec weight_softmax_spec() {
  return {.name = "weight_softmax",
          .fallback = {},
          .meaning = "the factor of the divergence",
          .type = Value::Type::kFloat,
          .need = ParamSpec::Need::kRequired};
}

}  // namespace

ComponentSpec WeightedSoftmax::spec() {
  return {
      "divergence of softmax(scores) from targets divided by their sum, weighted with that sum; "
      "the mean over the batch"};
}

LossMap WeightedSoftmax::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("weighted_softmax", batch, output);
  const at::Tensor scores = in.scores();
  const at::Tensor targets = in.soft_targets(scores);
  // KL * w has p * w = t as its factor.
  return {{"", divergence(scores, targets, targets / row_weights(targets))}};
}

ComponentSpec SoftmaxKldiv::spec() {
  return {
      "divergence of softmax(scores) from targets divided by their sum; the mean over the batch"};
}

LossMap SoftmaxKldiv::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("softmax_kldiv", batch, output);
  const at::Tensor scores = in.scores();
  return {{"", softmax_kldiv(scores, in.soft_targets(scores))}};
}

ComponentSpec Wrong::spec() {
  return {"MMF's other name for softmax_kldiv: mean over all elements, times the classes"};
}

LossMap Wrong::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("wrong", batch, output);
  const at::Tensor scores = in.scores();
  return {{"", softmax_kldiv(scores, in.soft_targets(scores))}};
}

ComponentSpec BceKlCombined::spec() {
  return {"weight_softmax * softmax_kldiv + logit_bce", {weight_softmax_spec()}};
}

BceKlCombined::BceKlCombined(const Config& params)
    : weight_softmax_(params.get<double>("weight_softmax")) {}

LossMap BceKlCombined::compute(const SampleList& batch, const ModelOutput& output) {
  const LossMap values = bce_and_kl(LossInputs("bce_kl_combined", batch, output), weight_softmax_);
  return {{"", values.at("kl") + values.at("bce")}};
}

ComponentSpec BceKl::spec() {
  return {"bce_kl_combined as two values: kl and bce", {weight_softmax_spec()}};
}

BceKl::BceKl(const Config& params) : weight_softmax_(params.get<double>("weight_softmax")) {}

LossMap BceKl::compute(const SampleList& batch, const ModelOutput& output) {
  return bce_and_kl(LossInputs("bce_kl", batch, output), weight_softmax_);
}

}  // namespace pergola::host
