// SPDX-License-Identifier: BSD-3-Clause
// MMF's classifier of hidden layers; plugins/cnn_lstm and plugins/fusions end in it.
#include "pergola/error.h"
#include "pergola/nn/mlp.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::nn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> parameter_names(const MlpConfig& config) {
  std::vector<std::string> names;
  for (const auto& item : Mlp(config).named_parameters()) names.push_back(item.key());
  return names;
}

std::string config_error(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    return error.what();
  }
  return "(no error)";
}

// `params` of `classifier`, for 30 inputs and 5 answers.
MlpConfig parse(Value::Table params) {
  Value config;
  config["classifier"] = Value::Table{{"type", "mlp"}, {"params", Value(std::move(params))}};
  return MlpConfig::parse(Config(std::move(config), "model_config.m"), "classifier", 30, 5);
}

// MMF's own test of its classifier without hidden layers.
TEST(MlpTest, GivesMmfsNumbers) {
  torch::manual_seed(1234);
  Mlp mlp({.in_dim = 300, .out_dim = 1});
  const at::Tensor y = mlp.forward(torch::rand({3, 300})).squeeze(1);
  EXPECT_TRUE(torch::allclose(y, torch::tensor({.1949174, .4030975, -.0109139}), 0, 1e-6)) << y;
}

// Linear, batch norm, activation, dropout, linear: MMF counts all five.
TEST(MlpTest, HiddenLayersHaveMmfsNumbers) {
  MlpConfig config = {.in_dim = 8, .out_dim = 5, .hidden_dim = 6, .num_layers = 1};
  EXPECT_THAT(parameter_names(config),
              ElementsAre("layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias",
                          "layers.4.weight", "layers.4.bias"));
  config.batch_norm = false;
  EXPECT_THAT(parameter_names(config),
              ElementsAre("layers.0.weight", "layers.0.bias", "layers.3.weight", "layers.3.bias"));
}

TEST(MlpTest, HiddenLayersAreLinearNormActivation) {
  for (const Activation activation : {Activation::kRelu, Activation::kGelu, Activation::kTanh}) {
    Mlp mlp(
        {.in_dim = 4, .out_dim = 5, .hidden_dim = 6, .num_layers = 1, .activation = activation});
    mlp.eval();
    const at::Tensor x = torch::randn({3, 4});
    const auto weights = mlp.named_parameters();
    // Running mean 0 and variance 1, as a new batch norm has them.
    const at::Tensor normed =
        torch::linear(x, weights["layers.0.weight"], weights["layers.0.bias"]) /
        std::sqrt(1 + 1e-5);
    const at::Tensor hidden = activation == Activation::kRelu   ? normed.relu()
                              : activation == Activation::kGelu ? torch::gelu(normed)
                                                                : normed.tanh();
    const at::Tensor expected =
        torch::linear(hidden, weights["layers.4.weight"], weights["layers.4.bias"]);
    EXPECT_TRUE(torch::allclose(mlp.forward(x), expected, 0, 1e-5));
  }
}

TEST(MlpTest, DropoutActsInTrainingOnly) {
  Mlp mlp({.in_dim = 4, .out_dim = 5, .hidden_dim = 64, .num_layers = 1, .batch_norm = false});
  const at::Tensor x = torch::randn({3, 4});
  EXPECT_FALSE(mlp.forward(x).allclose(mlp.forward(x)));
  mlp.eval();
  EXPECT_TRUE(mlp.forward(x).equal(mlp.forward(x)));
}

// It was an error, at the last batch of an epoch, hours into a training; now the norm's running
// statistics stand for those of the batch, which has none, and stay as they are.
TEST(MlpTest, ABatchOfOneSampleIsTrainedWithTheRunningStatistics) {
  torch::manual_seed(3);
  Mlp mlp({.in_dim = 4, .out_dim = 5, .hidden_dim = 6, .num_layers = 1, .dropout = 0});
  static_cast<void>(mlp.forward(torch::randn({8, 4})));
  const auto buffers = mlp.named_buffers();
  std::vector<at::Tensor> before;
  for (const auto& item : buffers) before.push_back(item.value().clone());
  const at::Tensor one = torch::randn({1, 4});
  const at::Tensor y = mlp.forward(one);
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(before[i].equal(buffers[i].value())) << buffers[i].key();
  }
  y.square().sum().backward();
  for (const auto& item : mlp.named_parameters()) EXPECT_TRUE(item.value().grad().defined());
  mlp.eval();
  EXPECT_TRUE(y.equal(mlp.forward(one)));
}

// Bit for bit those of torch's own norm.
TEST(MlpTest, LargerBatchesHaveTheirOwnStatistics) {
  torch::manual_seed(3);
  Mlp mlp({.in_dim = 4, .out_dim = 5, .hidden_dim = 6, .num_layers = 1, .dropout = 0});
  const at::Tensor x = torch::randn({2, 4});
  const auto weights = mlp.named_parameters();
  torch::nn::BatchNorm1d norm(6);
  const at::Tensor hidden =
      norm->forward(torch::linear(x, weights["layers.0.weight"], weights["layers.0.bias"])).relu();
  EXPECT_TRUE(mlp.forward(x).equal(
      torch::linear(hidden, weights["layers.4.weight"], weights["layers.4.bias"])));
  EXPECT_TRUE(mlp.named_buffers()["layers.1.running_var"].equal(norm->running_var));
}

TEST(MlpConfigTest, WhatIsLeftOutIsMmfs) {
  const MlpConfig config = parse({});
  EXPECT_EQ(config.in_dim, 30);
  EXPECT_EQ(config.out_dim, 5);
  EXPECT_EQ(config.hidden_dim, 30);
  EXPECT_EQ(config.num_layers, 0);
  EXPECT_EQ(config.dropout, 0.5);
  EXPECT_EQ(config.activation, Activation::kRelu);
  EXPECT_TRUE(config.batch_norm);
}

TEST(MlpConfigTest, HiddenLayersAreAsWideAsTheInputUnlessToldOtherwise) {
  EXPECT_EQ(parse({{"in_dim", 77}}).hidden_dim, 77);
  EXPECT_EQ(parse({{"in_dim", 77}, {"hidden_dim", 12}}).hidden_dim, 12);
}

TEST(MlpConfigTest, MistakesAreNamed) {
  const auto refusal = [](const char* key, Value value) {
    return config_error([&] { static_cast<void>(parse({{key, std::move(value)}})); });
  };
  EXPECT_THAT(refusal("hiden_dim", 3), HasSubstr("did you mean 'hidden_dim'?"));
  EXPECT_THAT(refusal("hidden_act", "swish"), HasSubstr("is not one of relu, gelu, tanh"));
  EXPECT_THAT(refusal("num_layers", 17), HasSubstr(" is out of range; expected "));
  EXPECT_THAT(refusal("dropout", 1.5), HasSubstr(" is out of range; expected "));
  EXPECT_THAT(refusal("out_dim", 2),
              HasSubstr("out_dim = 2 must be the number of answers, which is 5 for this data set; "
                        "leave it out"));
}

}  // namespace
}  // namespace pergola::nn
