// SPDX-License-Identifier: BSD-3-Clause
// The reference is torch::optim where it has the optimizer, and the published formula where not.
#include "host/model/optimizers.h"

#include "pergola/error.h"

#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace pergola::host {
namespace {

using testing::HasSubstr;

std::vector<at::Tensor> make_parameters() {
  torch::manual_seed(3);
  std::vector<at::Tensor> parameters = {torch::randn({5, 3}), torch::randn({7})};
  for (at::Tensor& parameter : parameters) parameter.set_requires_grad(true);
  return parameters;
}

ParameterGroup group_of(const std::vector<at::Tensor>& parameters) {
  return {{"weight", "bias"}, parameters, Value(Value::Table{})};
}

// One group with options of its own, one without.
std::vector<ParameterGroup> two_groups(const std::vector<at::Tensor>& parameters, Value options) {
  return {{{"weight"}, {parameters[0]}, std::move(options)},
          {{"bias"}, {parameters[1]}, Value(Value::Table{})}};
}

// A loss whose gradients change from step to step.
void backward(const std::vector<at::Tensor>& parameters, int step) {
  at::Tensor loss = torch::zeros({});
  for (const at::Tensor& parameter : parameters) {
    loss = loss + (parameter.sin() * (step + 1) + parameter.pow(2)).sum();
  }
  loss.backward();
}

template <class Ours, class Reference>
void expect_same_path(Ours& ours, const std::vector<at::Tensor>& our_parameters,
                      Reference& reference, const std::vector<at::Tensor>& reference_parameters) {
  for (int step = 0; step < 6; ++step) {
    ours.zero_grad();
    reference.zero_grad();
    backward(our_parameters, step);
    backward(reference_parameters, step);
    ours.step();
    reference.step();
  }
  for (std::size_t i = 0; i < our_parameters.size(); ++i) {
    EXPECT_TRUE(torch::allclose(our_parameters[i], reference_parameters[i], 1e-5, 1e-6)) << i;
  }
}

TEST(OptimizersTest, SgdWithMomentumIsTorchs) {
  const auto ours = make_parameters();
  const auto theirs = make_parameters();
  Sgd optimizer({group_of(ours)},
                Config(Value::Table{
                    {"lr", 0.05}, {"momentum", 0.9}, {"dampening", 0.3}, {"weight_decay", 0.01}}));
  torch::optim::SGD reference(
      theirs, torch::optim::SGDOptions(0.05).momentum(0.9).dampening(0.3).weight_decay(0.01));
  expect_same_path(optimizer, ours, reference, theirs);
}

TEST(OptimizersTest, SgdWithNesterovIsTorchs) {
  const auto ours = make_parameters();
  const auto theirs = make_parameters();
  Sgd optimizer({group_of(ours)},
                Config(Value::Table{{"lr", 0.05}, {"momentum", 0.9}, {"nesterov", true}}));
  torch::optim::SGD reference(theirs, torch::optim::SGDOptions(0.05).momentum(0.9).nesterov(true));
  expect_same_path(optimizer, ours, reference, theirs);
}

TEST(OptimizersTest, AdamIsTorchs) {
  const auto ours = make_parameters();
  const auto theirs = make_parameters();
  Adam optimizer({group_of(ours)}, Config(Value::Table{{"lr", 0.02}, {"weight_decay", 0.1}}));
  torch::optim::Adam reference(theirs, torch::optim::AdamOptions(0.02).weight_decay(0.1));
  expect_same_path(optimizer, ours, reference, theirs);
}

TEST(OptimizersTest, AdamWithAmsgradIsTorchs) {
  const auto ours = make_parameters();
  const auto theirs = make_parameters();
  Adam optimizer({group_of(ours)}, Config(Value::Table{{"lr", 0.02}, {"amsgrad", true}}));
  torch::optim::Adam reference(theirs, torch::optim::AdamOptions(0.02).amsgrad(true));
  expect_same_path(optimizer, ours, reference, theirs);
}

TEST(OptimizersTest, AdamWIsTorchs) {
  const auto ours = make_parameters();
  const auto theirs = make_parameters();
  AdamW optimizer({group_of(ours)},
                  Config(Value::Table{{"lr", 0.02}, {"betas", Value::Array{0.8, 0.95}}}));
  torch::optim::AdamW reference(
      theirs,
      torch::optim::AdamWOptions(0.02).betas(std::make_tuple(0.8, 0.95)).weight_decay(0.01));
  expect_same_path(optimizer, ours, reference, theirs);
}

TEST(OptimizersTest, AdamaxFollowsItsFormula) {
  const at::Tensor ours = torch::tensor({1.0, -2.0}, torch::kDouble).set_requires_grad(true);
  Adamax optimizer({{{"p"}, {ours}, Value(Value::Table{})}}, Config(Value::Table{{"lr", 0.1}}));
  double p[2] = {1.0, -2.0};
  double m[2] = {0, 0};
  double u[2] = {0, 0};
  for (int t = 1; t <= 5; ++t) {
    optimizer.zero_grad();
    (ours * ours * t).sum().backward();
    for (int i = 0; i < 2; ++i) {
      const double g = 2 * p[i] * t;
      m[i] = 0.9 * m[i] + 0.1 * g;
      u[i] = std::max(0.999 * u[i], std::abs(g) + 1e-8);
      p[i] -= 0.1 / (1 - std::pow(0.9, t)) * m[i] / u[i];
    }
    optimizer.step();
  }
  EXPECT_NEAR(ours[0].item<double>(), p[0], 1e-9);
  EXPECT_NEAR(ours[1].item<double>(), p[1], 1e-9);
}

TEST(OptimizersTest, AGroupsOptionsWinOverTheRest) {
  Sgd optimizer(two_groups(make_parameters(), Value::Table{{"lr", 0.25}}),
                Config(Value::Table{{"lr", 1.0}}));
  optimizer.set_lr_factor(0.5);
  EXPECT_EQ(optimizer.lr(0), 0.125);
  EXPECT_EQ(optimizer.lr(1), 0.5);
}

TEST(OptimizersTest, ParametersWithoutGradientStayAndHaveNoState) {
  const auto parameters = make_parameters();
  Adam optimizer({group_of(parameters)}, Config());
  const at::Tensor before = parameters[1].detach().clone();
  parameters[0].sum().backward();
  optimizer.step();
  EXPECT_TRUE(parameters[1].equal(before));
  EXPECT_EQ(optimizer.state_dict().count("bias/exp_avg"), 0U);
  EXPECT_EQ(optimizer.state_dict().count("weight/exp_avg"), 1U);
}

template <class Ours>
void expect_state_continues(const Config& config) {
  const auto straight = make_parameters();
  Ours one({group_of(straight)}, config);
  for (int step = 0; step < 6; ++step) {
    one.zero_grad();
    backward(straight, step);
    one.step();
  }
  const auto parameters = make_parameters();
  std::map<std::string, at::Tensor> saved;
  {
    Ours first({group_of(parameters)}, config);
    for (int step = 0; step < 3; ++step) {
      first.zero_grad();
      backward(parameters, step);
      first.step();
    }
    for (const auto& [key, tensor] : first.state_dict()) saved[key] = tensor.clone();
  }
  Ours second({group_of(parameters)}, config);
  second.load_state_dict(saved);
  for (int step = 3; step < 6; ++step) {
    second.zero_grad();
    backward(parameters, step);
    second.step();
  }
  for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(parameters[i].equal(straight[i]));
}

TEST(OptimizersTest, SavedStateContinuesBitForBit) {
  expect_state_continues<Sgd>(
      Config(Value::Table{{"lr", 0.1}, {"momentum", 0.9}, {"dampening", 0.5}}));
  expect_state_continues<Adam>(Config());
  expect_state_continues<AdamW>(Config(Value::Table{{"amsgrad", true}}));
  expect_state_continues<Adamax>(Config());
}

TEST(OptimizersTest, StateOfAnotherModelIsRefusedAndNothingChanges) {
  const auto parameters = make_parameters();
  Adam optimizer({group_of(parameters)}, Config());
  backward(parameters, 0);
  optimizer.step();
  auto state = optimizer.state_dict();
  state["weight/exp_avg"] = torch::zeros({2});
  try {
    optimizer.load_state_dict(state);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
    EXPECT_THAT(error.what(), HasSubstr("weight/exp_avg is [2], expected [5, 3]"));
  }
  EXPECT_EQ(optimizer.state_dict().at("weight/exp_avg").dim(), 2);
  state.erase("weight/exp_avg");
  EXPECT_THROW(optimizer.load_state_dict(state), Error);  // two of three tensors
  EXPECT_THROW(optimizer.load_state_dict({{"other/step", torch::zeros({})}}), Error);
}

TEST(OptimizersTest, BadOptionsAreRefused) {
  const auto parameters = make_parameters();
  EXPECT_THROW(Sgd({group_of(parameters)}, Config()), Error);  // lr has no default
  EXPECT_THROW(Adam({group_of(parameters)}, Config(Value::Table{{"lr", -1.0}})), Error);
  EXPECT_THROW(Adam({group_of(parameters)}, Config(Value::Table{{"betas", Value::Array{0.9}}})),
               Error);
  EXPECT_THROW(Adam({group_of(parameters)}, Config(Value::Table{{"learning_rate", 1.0}})), Error);
}

template <class Ours>
std::string error_of(Value::Table params, const Value& group_options = Value(Value::Table{}),
                     ErrorKind kind = ErrorKind::kConfig) {
  ParameterGroup group = group_of(make_parameters());
  group.options = group_options;
  params.emplace("lr", 0.1);
  try {
    Ours optimizer({group}, Config(std::move(params), "optimizer.params"));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  return "(no error)";
}

TEST(OptimizersTest, OptionsOfAnotherTypeAreRefusedAtOnce) {
  for (const char* key : {"momentum", "dampening", "weight_decay", "nesterov"}) {
    EXPECT_THAT(error_of<Sgd>({{key, "x"}}),
                HasSubstr(concat("optimizer.params.", key, " = \"x\"")));
  }
  for (const char* key : {"betas", "eps", "weight_decay", "amsgrad"}) {
    EXPECT_THAT(error_of<AdamW>({{key, "x"}}), HasSubstr("is a string; expected"));
  }
  for (const char* key : {"betas", "eps", "weight_decay"}) {
    EXPECT_THAT(error_of<Adamax>({{key, "x"}}), HasSubstr("is a string; expected"));
  }
}

TEST(OptimizersTest, BoundsAreTorchs) {
  for (const char* key : {"lr", "momentum", "weight_decay"}) {
    EXPECT_THAT(error_of<Sgd>({{key, -0.1}}),
                HasSubstr(concat(key, " = -0.1 is out of range; expected a number >= 0")));
  }
  for (const char* key : {"lr", "eps", "weight_decay"}) {
    EXPECT_THAT(error_of<Adam>({{key, -0.1}}), HasSubstr("is out of range"));
  }
  EXPECT_THAT(error_of<Sgd>({{"nesterov", true}}),
              HasSubstr("nesterov = true needs momentum above 0 and dampening = 0"));
  EXPECT_THAT(error_of<Sgd>({{"nesterov", true}, {"momentum", 0.9}, {"dampening", 0.1}}),
              HasSubstr("needs momentum above 0 and dampening = 0"));
}

TEST(OptimizersTest, OptionsOfAGroupAreCheckedAsWell) {
  EXPECT_EQ(error_of<Sgd>({}, Value::Table{{"momentun", 0.9}}, ErrorKind::kPlugin),
            "the model's optimizer_parameters() gives a group the option momentun = 0.9, which the "
            "optimizer does not have; did you mean 'momentum'?");
  EXPECT_THAT(error_of<Sgd>({}, Value::Table{{"momentum", -1}}),
              HasSubstr("momentum = -1 (the model's optimizer_parameters()) is out of range"));
}

TEST(OptimizersTest, MomentumOfAGroupIsItsOwn) {
  const auto ours = make_parameters();
  const auto theirs = make_parameters();
  Sgd optimizer(two_groups(ours, Value::Table{{"momentum", 0.9}}),
                Config(Value::Table{{"lr", 0.05}}));
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(
      std::vector<at::Tensor>{theirs[0]},
      std::make_unique<torch::optim::SGDOptions>(torch::optim::SGDOptions(0.05).momentum(0.9)));
  groups.emplace_back(std::vector<at::Tensor>{theirs[1]});
  torch::optim::SGD reference(std::move(groups), torch::optim::SGDOptions(0.05));
  expect_same_path(optimizer, ours, reference, theirs);
  const auto state = optimizer.state_dict();
  EXPECT_EQ(state.count("weight/momentum_buffer"), 1U);
  EXPECT_EQ(state.count("bias/momentum_buffer"), 0U);
  optimizer.load_state_dict(state);
}

TEST(OptimizersTest, AmsgradOfAGroupIsItsOwn) {
  const auto parameters = make_parameters();
  Adam optimizer(two_groups(parameters, Value::Table{{"amsgrad", true}}), Config());
  backward(parameters, 0);
  optimizer.step();
  const auto state = optimizer.state_dict();
  EXPECT_EQ(state.count("weight/max_exp_avg_sq"), 1U);
  EXPECT_EQ(state.count("bias/max_exp_avg_sq"), 0U);
  optimizer.load_state_dict(state);
}

}  // namespace
}  // namespace pergola::host
