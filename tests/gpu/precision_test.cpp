// SPDX-License-Identifier: BSD-3-Clause
// Precision, loss scaling, recompute and deterministic mode on a GPU, on a BERT and on the parts of
// the other models.
#include "gpu/gpu_fixture.h"
#include "host/device/anomaly.h"
#include "host/device/autocast.h"
#include "host/device/grad_scaler.h"
#include "host/model/builtins.h"
#include "pergola/nn/bert.h"
#include "pergola/registry.h"
#include "unit/model/losses/loss_test_kit.h"

#include <ATen/Context.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/rnn.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <gmock/gmock.h>

#include <cmath>
#include <functional>

namespace pergola::host {
namespace {

class GpuPrecisionTest : public OnGpu<> {
 protected:
  void TearDown() override { set_deterministic(false, false); }

  [[nodiscard]] at::Tensor random(at::IntArrayRef shape) const {
    return torch::randn(shape).to(device_);
  }
};

// A BERT that learns the sign of the first token's first number.
class Learner {
 public:
  explicit Learner(at::Device device, double dropout = 0,
                   nn::AttentionKind attention = nn::AttentionKind::kSdpa) {
    torch::manual_seed(3);
    nn::BertConfig config;
    config.hidden_size = 64;
    config.num_hidden_layers = 2;
    config.num_attention_heads = 4;
    config.intermediate_size = 128;
    config.hidden_dropout_prob = dropout;
    config.attention_probs_dropout_prob = dropout;
    config.attention = attention;
    encoder_ = std::make_shared<nn::BertEncoder>(config);
    head_ = std::make_shared<torch::nn::LinearImpl>(64, 1);
    input_ = torch::randn({16, 12, 64}).to(device);
    mask_ = torch::arange(12).lt(torch::arange(16).unsqueeze(1) + 2).to(device);
    encoder_->to(device);
    head_->to(device);
  }

  [[nodiscard]] at::Tensor loss() {
    const at::Tensor hidden = encoder_->forward(input_, nn::TokenMask(mask_));
    const at::Tensor scores = head_->forward(hidden.select(1, 0));
    const at::Tensor targets = input_.select(1, 0).narrow(1, 0, 1).gt(0).to(at::kFloat);
    return at::binary_cross_entropy_with_logits(scores, targets);
  }

  [[nodiscard]] std::vector<at::Tensor> parameters() const {
    std::vector<at::Tensor> all = encoder_->parameters();
    for (const at::Tensor& parameter : head_->parameters()) all.push_back(parameter);
    return all;
  }
  [[nodiscard]] std::vector<ParameterGroup> group() const {
    ParameterGroup group;
    group.parameters = parameters();
    for (std::size_t i = 0; i < group.parameters.size(); ++i) group.names.push_back(concat("p", i));
    return {group};
  }
  [[nodiscard]] std::vector<at::Tensor> gradients() const {
    std::vector<at::Tensor> all;
    for (const at::Tensor& parameter : parameters()) all.push_back(parameter.grad().clone());
    return all;
  }
  void zero_grad() {
    encoder_->zero_grad();
    head_->zero_grad();
  }
  void set_recompute(bool on) { encoder_->set_recompute(on); }

 private:
  std::shared_ptr<nn::BertEncoder> encoder_;
  std::shared_ptr<torch::nn::LinearImpl> head_;
  at::Tensor input_, mask_;
};

// The loss and the gradients under a precision.
std::vector<at::Tensor> trained(Learner& learner, at::Device device, Precision precision,
                                std::uint64_t seed = 5) {
  learner.zero_grad();
  torch::manual_seed(seed);
  at::Tensor loss;
  {
    const AutocastScope scope(device, precision);
    loss = learner.loss();
  }
  loss.backward();
  std::vector<at::Tensor> all = learner.gradients();
  all.push_back(loss.detach());
  return all;
}

void expect_same_bits(const std::vector<at::Tensor>& found,
                      const std::vector<at::Tensor>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(found[i].equal(expected[i])) << i;
}

// bfloat16 rounds by up to 2^-9 and float16 by 2^-12 of a number, in a few dozen products.
TEST_F(GpuPrecisionTest, LowPrecisionGivesNearlyTheSameLossAndGradientsInSingle) {
  Learner learner(device_);
  const std::vector<at::Tensor> expected = trained(learner, device_, Precision::kFp32);
  for (const auto& [precision, bound] :
       {std::pair(Precision::kBf16, 2e-2), std::pair(Precision::kFp16, 3e-3)}) {
    const std::vector<at::Tensor> found = trained(learner, device_, precision);
    EXPECT_FALSE(found.back().equal(expected.back())) << "nothing was rounded";
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].scalar_type(), at::kFloat);
      // The largest difference over the largest number: small gradients are sums of large numbers.
      // Those of the keys' biases are 0 but for rounding: all keys move alike.
      const double largest = std::max(expected[i].abs().max().item<double>(), 1e-3);
      EXPECT_LE((found[i] - expected[i]).abs().max().item<double>(), 5 * bound * largest) << i;
    }
    EXPECT_NEAR(found.back().item<double>(), expected.back().item<double>(), bound);
  }
  for (const at::Tensor& parameter : learner.parameters()) {
    EXPECT_EQ(parameter.scalar_type(), at::kFloat);
  }
}

TEST_F(GpuPrecisionTest, Fp16WithAScalerLearns) {
  Learner learner(device_);
  const auto optimizer = loss_test::losses().make_optimizer(
      {"adam_w", Config(Value::Table{{"lr", 1e-3}}, "optimizer.params"), Config(), "optimizer"},
      learner.group());
  GradScaler scaler(device_);
  double first = 0;
  double last = 0;
  for (int update = 0; update < 30; ++update) {
    optimizer->zero_grad();
    at::Tensor loss;
    {
      const AutocastScope scope(device_, Precision::kFp16);
      loss = learner.loss();
    }
    scaler.scale(loss).backward();
    if (!scaler.unscale(*optimizer)) {
      const at::NoGradGuard no_grad;
      optimizer->step();
    }
    scaler.update();
    last = loss.item<double>();
    if (update == 0) first = last;
  }
  EXPECT_LT(last, first / 2);
}

// At 2^40 every gradient that is not 0 is beyond 65504 in float16.
TEST_F(GpuPrecisionTest, AnOverflowSkipsTheStepAndHalvesTheScale) {
  Learner learner(device_);
  const auto optimizer = loss_test::losses().make_optimizer(
      {"sgd", Config(Value::Table{{"lr", 1e-3}}, "optimizer.params"), Config(), "optimizer"},
      learner.group());
  GradScaler scaler(device_, {.init_scale = 0x1p40});
  const AutocastScope scope(device_, Precision::kFp16);
  scaler.scale(learner.loss()).backward();
  EXPECT_TRUE(scaler.unscale(*optimizer));
  scaler.update();
  EXPECT_EQ(scaler.current_scale(), 0x1p39);
  optimizer->zero_grad();
  GradScaler sound(device_);
  sound.scale(learner.loss()).backward();
  EXPECT_FALSE(sound.unscale(*optimizer));
}

// TF32 keeps 10 bits of a float32's mantissa: products have errors of up to 2^-11 = 5e-4 of each
// factor, and their sum in the root of the squares no more; float32's are 2^-24 = 6e-8.
TEST_F(GpuPrecisionTest, Tf32RoundsProductsAndFp32DoesNot) {
  torch::manual_seed(1);
  const at::Tensor a = random({512, 512});
  const at::Tensor image = random({8, 64, 32, 32});
  const at::Tensor kernel = random({64, 64, 3, 3});
  const auto compare = [](const at::Tensor& found, const at::Tensor& exact) {
    return ((found.to(at::kDouble) - exact).norm() / exact.norm()).item<double>();
  };
  const at::Tensor product = a.to(at::kDouble).mm(a.to(at::kDouble));
  const at::Tensor convolution = at::conv2d(image.to(at::kDouble), kernel.to(at::kDouble));
  for (const Precision precision : {Precision::kTf32, Precision::kFp32, Precision::kTf32}) {
    apply_precision(precision, device_);
    const double of_product = compare(a.mm(a), product);
    const double of_convolution = compare(at::conv2d(image, kernel), convolution);
    const bool rounded = precision == Precision::kTf32;
    EXPECT_GT(of_product, rounded ? 1e-5 : 0);
    EXPECT_LT(of_product, rounded ? 1e-3 : 2e-6);
    EXPECT_GT(of_convolution, rounded ? 1e-5 : 0);
    EXPECT_LT(of_convolution, rounded ? 1e-3 : 2e-6);
  }
}

TEST_F(GpuPrecisionTest, RecomputeGivesTheSameBitsWithDropout) {
  set_deterministic(true, false);
  for (const nn::AttentionKind attention :
       {nn::AttentionKind::kSdpa, nn::AttentionKind::kPlain, nn::AttentionKind::kPacked}) {
    for (const Precision precision : {Precision::kFp32, Precision::kBf16, Precision::kFp16}) {
      SCOPED_TRACE(concat(static_cast<int>(attention), " in ", static_cast<int>(precision)));
      Learner learner(device_, /*dropout=*/0.2, attention);
      const std::vector<at::Tensor> expected = trained(learner, device_, precision);
      const at::Tensor next = torch::rand({4}, device_);
      learner.set_recompute(true);
      expect_same_bits(trained(learner, device_, precision), expected);
      EXPECT_TRUE(torch::rand({4}, device_).equal(next));
      EXPECT_FALSE(trained(learner, device_, precision, /*seed=*/6).back().equal(expected.back()));
    }
  }
}

TEST_F(GpuPrecisionTest, EveryLossIsTheSameUnderAutocast) {
  using namespace loss_test;  // NOLINT(google-build-using-namespace)
  for (const std::string& key : losses().keys(Kind::kLoss)) {
    SCOPED_TRACE(key);
    const auto move = [&](const at::Tensor& t) {
      return t.is_floating_point() ? t.to(device_, at::kFloat) : t.to(device_);
    };
    Given given = with_output(example(key), move);
    for (auto& [name, tensor] : given.batch) tensor = move(tensor);
    const double expected = value(given);
    for (const Precision precision : {Precision::kBf16, Precision::kFp16}) {
      const AutocastScope scope(device_, precision);
      EXPECT_NEAR(value(given), expected, 1e-6 * std::abs(expected));
    }
  }
}

// What the models are made of, forward and backward.
class Parts {
 public:
  explicit Parts(at::Device device) : device_(device) {
    torch::manual_seed(3);
    embedding_->to(device);
    lstm_->to(device);
    convolution_->to(device);
    norm_->to(device);
  }
  [[nodiscard]] std::vector<at::Tensor> run() {
    torch::manual_seed(4);
    const at::Tensor words = torch::randint(0, 7, {8, 20}, torch::kLong).to(device_);
    const at::Tensor image = torch::randn({8, 3, 32, 32}).to(device_);
    const at::Tensor text = std::get<0>(lstm_->forward(embedding_->forward(words)));
    const at::Tensor seen = norm_->forward(convolution_->forward(image));
    const at::Tensor pooled = at::max_pool2d(seen.relu(), {2, 2});
    const at::Tensor whole = at::adaptive_avg_pool2d(pooled, {1, 1}).flatten(1);
    const at::Tensor last =
        text.gather(1, (words.select(1, 0) + 1).view({8, 1, 1}).expand({8, 1, 16}));
    (last.sum() + whole.square().sum() + text.index_select(0, words.select(1, 1)).square().sum())
        .backward();
    std::vector<at::Tensor> gradients;
    for (const torch::nn::Module* part : std::initializer_list<const torch::nn::Module*>{
             embedding_.get(), lstm_.get(), convolution_.get(), norm_.get()}) {
      for (const at::Tensor& parameter : part->parameters()) {
        gradients.push_back(parameter.grad().clone());
        parameter.mutable_grad().reset();
      }
    }
    return gradients;
  }

 private:
  at::Device device_;
  torch::nn::Embedding embedding_{7, 12};
  torch::nn::LSTM lstm_{torch::nn::LSTMOptions(12, 16).batch_first(true)};
  torch::nn::Conv2d convolution_{torch::nn::Conv2dOptions(3, 8, 3)};
  torch::nn::BatchNorm2d norm_{8};
};

TEST_F(GpuPrecisionTest, DeterministicModeGivesTheSameBitsTwice) {
  set_deterministic(true, false);
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    for (const nn::AttentionKind attention :
         {nn::AttentionKind::kSdpa, nn::AttentionKind::kPlain, nn::AttentionKind::kPacked}) {
      Learner learner(device_, /*dropout=*/0.2, attention);
      const std::vector<at::Tensor> first = trained(learner, device_, precision);
      for (int i = 0; i < 3; ++i) expect_same_bits(trained(learner, device_, precision), first);
    }
  }
}

TEST_F(GpuPrecisionTest, DeterministicModeHasThePartsOfTheModels) {
  set_deterministic(true, false);
  Parts parts(device_);
  const std::vector<at::Tensor> first = parts.run();
  for (int i = 0; i < 3; ++i) expect_same_bits(parts.run(), first);
}

TEST_F(GpuPrecisionTest, WhatHasNoDeterministicFormIsNamed) {
  set_deterministic(true, false);
  try {
    static_cast<void>(at::bincount(torch::tensor({1, 2, 1}, torch::kLong).to(device_),
                                   torch::ones({3}).to(device_)));
    FAIL();
  } catch (const std::exception& error) {
    EXPECT_EQ(without_deterministic_form(error.what()), "_bincount_cuda") << error.what();
  }
}

// sqrt(0) * 0 has a NaN for a gradient, which a thread of its own finds.
TEST_F(GpuPrecisionTest, AnAnomalyOfTheBackwardPassIsNamed) {
  AnomalyWatch watch(true);
  const at::Tensor x = torch::zeros({3}, device_).requires_grad_(true);
  const at::Tensor loss = x.sqrt().mul(0).sum();
  EXPECT_EQ(watch.check_forward(loss, "the forward pass"), "");
  loss.backward();
  EXPECT_THAT(watch.check_backward("the backward pass"),
              testing::HasSubstr("aten::div in SqrtBackward0"));
}

}  // namespace
}  // namespace pergola::host
