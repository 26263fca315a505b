// SPDX-License-Identifier: BSD-3-Clause
#include "unit/model/losses/loss_test_kit.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

namespace pergola::host::loss_test {
namespace {

constexpr std::int64_t kClasses = 6;

// Scores [B, C], targets [B, C] in [0, 1].
Given soft(std::int64_t b) {
  return {"", {}, {{"scores", at::randn({b, kClasses})}}, {{"targets", at::rand({b, kClasses})}}};
}

// Scores [B, C], class numbers [B].
Given numbers(std::int64_t b) {
  return {"", {}, {{"scores", at::randn({b, kClasses})}}, {{"targets", at::arange(b) % kClasses}}};
}

Given probabilities(std::int64_t b) {
  Given given = soft(b);
  given.output["scores"] = at::rand({b, kClasses}) * 0.8 + 0.1;
  return given;
}

Given branches(std::int64_t b) {
  Given given = soft(b);
  given.output["scores"] = at::randn({b, 3, kClasses});
  return given;
}

Given attention(std::int64_t b) {
  Given given = probabilities(b);
  given.output = {{"attentions", given.output["scores"]}};
  given.batch["info.attention_supervision"] = at::rand({b, kClasses});
  return given;
}

Given steps(std::int64_t b) {
  const at::Tensor mask = at::ones({b, 4});
  mask.select(1, 3).zero_();
  return {"",
          {},
          {{"scores", at::randn({b, 4, kClasses})}},
          {{"targets", at::rand({b, 4, kClasses}).round()}, {"train_loss_mask", mask}}};
}

Given captions(std::int64_t b) {
  return {"",
          {},
          {{"scores", at::randn({b, 4, kClasses})}},
          {{"targets", at::randint(kClasses, {b, 4}, at::kLong)},
           {"caption_len", at::arange(b) % 3 + 2}}};
}

Given log_probabilities(std::int64_t b) {
  Given given = soft(b);
  given.output["scores"] = at::log_softmax(given.output["scores"], 1);
  return given;
}

Given weighted_classes(std::int64_t b) {
  Given given = numbers(b);
  given.params = {{"weight", Value::Array{0.5, 1, 2, 1, 1, 1}}, {"label_smoothing", 0.1}};
  return given;
}

Given soft_and_kl(std::int64_t b) {
  Given given = soft(b);
  given.params = {{"weight_softmax", 0.5}};
  return given;
}

Given images_and_texts(std::int64_t b) {
  Given given = soft(b);
  given.params = {{"margin", 0.2}};
  given.output["targets"] = at::randn({2 * b, kClasses});
  return given;
}

Given two_embeddings(std::int64_t b) {
  Given given = soft(b);
  given.output = {{"embedding_1", at::randn({b, kClasses})},
                  {"embedding_2", at::randn({b, kClasses})},
                  {"temperature", at::full({}, 0.5)}};
  return given;
}

Given fused_embedding(std::int64_t b) {
  return {
      "", {}, {{"fused_embedding", at::randn({b, kClasses})}}, {{"targets", at::arange(b) % 2}}};
}

Given parts(std::int64_t b) {
  Given given = soft(b);
  given.params = {
      {"params", Value::Array{"mse", Value::Table{{"type", "logit_bce"}, {"weight", 0.3}}}}};
  return given;
}

const std::map<std::string, Given (*)(std::int64_t)>& makers() {
  static const std::map<std::string, Given (*)(std::int64_t)> kAll = {
      {"attention_supervision", attention},
      {"bce", probabilities},
      {"bce_kl", soft_and_kl},
      {"bce_kl_combined", soft_and_kl},
      {"caption_cross_entropy", captions},
      {"contrastive_loss", two_embeddings},
      {"cos_emb_loss", soft},
      {"cross_entropy", weighted_classes},
      {"in_batch_hinge", images_and_texts},
      {"label_smoothing_cross_entropy", numbers},
      {"logit_bce", soft},
      {"m4c_decoding_bce_with_mask", steps},
      {"ms_loss", fused_embedding},
      {"mse", soft},
      {"multi", parts},
      {"nll_loss", log_probabilities},
      {"refiner_contrastive_loss", soft},
      {"refiner_ms", soft},
      {"soft_label_cross_entropy", soft},
      {"softmax_kldiv", soft},
      {"triple_logit_bce", branches},
      {"weighted_softmax", soft},
      {"wrong", soft}};
  return kAll;
}

}  // namespace

Given example(const std::string& key, std::int64_t batch_size) {
  at::manual_seed(7);
  Given given = makers().at(key)(batch_size);
  given.loss = key;
  return with_output(given, [](const at::Tensor& t) { return t.to(at::kDouble); });
}

void expect_gradients(const Given& given) {
  const Given leaves = leaves_of(given);
  const auto loss = make_loss(given.loss, given.params);
  const SampleList batch = batch_of(leaves);
  const ModelOutput output = output_of(leaves);
  total_loss(loss->compute(batch, output)).backward();
  const auto value_now = [&] {
    const at::NoGradGuard no_grad;
    return total_loss(loss->compute(batch, output)).item<double>();
  };
  constexpr double kStep = 1e-6;
  for (const auto& [name, leaf] : leaves.output) {
    at::Tensor gradient = leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf);
    gradient = gradient.contiguous();
    double* const x = leaf.data_ptr<double>();
    for (std::int64_t i = 0; i < leaf.numel(); ++i) {
      const double before = x[i];
      x[i] = before + kStep;
      const double above = value_now();
      x[i] = before - kStep;
      const double below = value_now();
      x[i] = before;
      const double expected = (above - below) / (2 * kStep);
      EXPECT_NEAR(gradient.data_ptr<double>()[i], expected, 1e-4 * std::abs(expected) + 1e-7)
          << name << ", element " << i;
    }
  }
}

void expect_second_gradients(const Given& given) {
  const Given leaves = leaves_of(given);
  std::vector<at::Tensor> inputs;
  for (const auto& [name, leaf] : leaves.output) inputs.push_back(leaf);
  at::manual_seed(1);
  std::vector<at::Tensor> along;  // the direction
  for (const at::Tensor& input : inputs) along.push_back(at::randn_like(input));
  const auto loss = make_loss(given.loss, given.params);
  const SampleList batch = batch_of(leaves);
  // The loss's derivative along that direction.
  const auto slope = [&] {
    const std::vector<at::Tensor> gradients = torch::autograd::grad(
        {total_loss(loss->compute(batch, output_of(leaves)))}, inputs, /*grad_outputs=*/{},
        /*retain_graph=*/true, /*create_graph=*/true, /*allow_unused=*/true);
    at::Tensor sum = at::zeros({}, at::kDouble);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (gradients[i].defined()) sum = sum + (gradients[i] * along[i]).sum();
    }
    return sum;
  };
  const at::Tensor first = slope();
  double found = 0;
  if (first.requires_grad()) {  // a loss of straight lines has none
    const std::vector<at::Tensor> second = torch::autograd::grad(
        {first}, inputs, /*grad_outputs=*/{}, /*retain_graph=*/false, /*create_graph=*/false,
        /*allow_unused=*/true);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (second[i].defined()) found += (second[i] * along[i]).sum().item<double>();
    }
  }
  constexpr double kStep = 1e-5;
  const auto slope_at = [&](double step) {
    {
      const at::NoGradGuard no_grad;
      for (std::size_t i = 0; i < inputs.size(); ++i) inputs[i].add_(along[i], step);
    }
    const double value = slope().item<double>();
    const at::NoGradGuard no_grad;
    for (std::size_t i = 0; i < inputs.size(); ++i) inputs[i].add_(along[i], -step);
    return value;
  };
  const double expected = (slope_at(kStep) - slope_at(-kStep)) / (2 * kStep);
  EXPECT_NEAR(found, expected, 1e-4 * std::abs(expected) + 1e-7);
}

}  // namespace pergola::host::loss_test
