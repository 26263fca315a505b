// SPDX-License-Identifier: BSD-3-Clause
// Every optimizer goes on, from the state that it handed out, as if it had not been interrupted.
#include "pergola/error.h"
#include "unit/model/optimizers/problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace pergola::host {
namespace {

using testing::HasSubstr;

std::map<std::string, at::Tensor> copy_of_state(const Optimizer& optimizer) {
  std::map<std::string, at::Tensor> state = optimizer.state_dict();
  for (auto& [key, tensor] : state) tensor = tensor.clone();
  return state;
}

void expect_equal(const std::map<std::string, at::Tensor>& one,
                  const std::map<std::string, at::Tensor>& other) {
  ASSERT_EQ(one.size(), other.size());
  for (const auto& [key, tensor] : one) {
    ASSERT_EQ(other.count(key), 1U) << key;
    EXPECT_TRUE(tensor.equal(other.at(key))) << key;
    EXPECT_EQ(tensor.scalar_type(), other.at(key).scalar_type()) << key;
  }
}

class OptimizerContinues : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(All, OptimizerContinues,
                         testing::ValuesIn(builtin_parts().keys(Kind::kOptimizer)),
                         [](const auto& key) { return key.param; });

TEST_P(OptimizerContinues, BitForBitFromItsState) {
  ASSERT_EQ(optimizer_params().count(GetParam()), 1U) << "say with which params to test it";
  for (const Value::Table& params : optimizer_params().at(GetParam())) {
    for (const std::int64_t stop : {1, 4, 6}) {
      Problem straight;
      const auto whole = make_optimizer(GetParam(), params, straight.group());
      straight.run(*whole, 0, 9);

      Problem parts;
      std::map<std::string, at::Tensor> saved;
      {
        const auto first = make_optimizer(GetParam(), params, parts.group());
        parts.run(*first, 0, stop);
        saved = copy_of_state(*first);
      }
      const auto second = make_optimizer(GetParam(), params, parts.group());
      second->load_state_dict(saved);
      expect_equal(second->state_dict(), saved);
      parts.run(*second, stop, 9);
      for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_TRUE(parts.parameters[i].equal(straight.parameters[i])) << i << " from " << stop;
      }
      expect_equal(second->state_dict(), whole->state_dict());
    }
  }
}

// torch.optim's, and those of transformers' Adafactor.
TEST(OptimizerStateTest, HasTheNamesOfTorch) {
  const std::map<std::string, std::set<std::string>> expected = {
      {"sgd", {"momentum_buffer"}},
      {"adam", {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}},
      {"adamw", {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}},
      {"adamax", {"step", "exp_avg", "exp_inf"}},
      {"nadam", {"step", "exp_avg", "exp_avg_sq", "mu_product"}},
      {"adagrad", {"step", "sum"}},
      {"rmsprop", {"step", "square_avg", "momentum_buffer", "grad_avg"}},
      {"lamb", {"step", "exp_avg", "exp_avg_sq"}},
      {"adafactor", {"step", "exp_avg", "exp_avg_sq_row", "exp_avg_sq_col", "exp_avg_sq"}},
      {"adam_w", {"step", "exp_avg", "exp_avg_sq"}},
      {"adam_w_skip_params_with_zero_grad", {"step", "exp_avg", "exp_avg_sq"}}};
  for (const auto& [type, variants] : optimizer_params()) {
    std::set<std::string> names;
    for (const Value::Table& params : variants) {
      Problem problem;
      const auto optimizer = make_optimizer(type, params, problem.group());
      problem.run(*optimizer, 0, 2);
      for (const auto& [key, tensor] : optimizer->state_dict()) {
        names.insert(key.substr(key.find('/') + 1));
      }
    }
    EXPECT_EQ(names, expected.at(type)) << type;
  }
}

TEST(OptimizerStateTest, OfAdafactorHasARowAndAColumnForAMatrix) {
  Problem problem;
  const auto optimizer = make_optimizer("adafactor", {}, problem.group());
  problem.run(*optimizer, 0, 2);
  const auto state = optimizer->state_dict();
  EXPECT_EQ(state.at("weight/exp_avg_sq_row").sizes(), at::IntArrayRef({5}));
  EXPECT_EQ(state.at("weight/exp_avg_sq_col").sizes(), at::IntArrayRef({3}));
  EXPECT_EQ(state.count("weight/exp_avg_sq"), 0U);
  EXPECT_EQ(state.at("bias/exp_avg_sq").sizes(), at::IntArrayRef({7}));
  EXPECT_EQ(state.count("bias/exp_avg_sq_row"), 0U);
}

TEST(OptimizerStateTest, FollowsTheOptionsOfItsGroup) {
  Problem problem;
  const auto groups = problem.two_groups(Value::Table{{"momentum", 0.9}});
  const auto optimizer = make_optimizer("rmsprop", {}, groups);
  problem.run(*optimizer, 0, 2);
  const auto state = optimizer->state_dict();
  EXPECT_EQ(state.count("weight/momentum_buffer"), 1U);
  EXPECT_EQ(state.count("bias/momentum_buffer"), 0U);
  optimizer->load_state_dict(state);
}

TEST(OptimizerStateTest, OfAnotherModelIsRefusedAndNothingChanges) {
  Problem problem;
  const auto optimizer = make_optimizer("adam", {}, problem.group());
  problem.run(*optimizer, 0, 2);
  auto state = optimizer->state_dict();
  state["weight/exp_avg"] = torch::zeros({2});
  try {
    optimizer->load_state_dict(state);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
    EXPECT_THAT(error.what(), HasSubstr("weight/exp_avg is [2], expected [5, 3]"));
  }
  EXPECT_EQ(optimizer->state_dict().at("weight/exp_avg").dim(), 2);
  state.erase("weight/exp_avg");
  EXPECT_THROW(optimizer->load_state_dict(state), Error);  // two of three tensors
  EXPECT_THROW(optimizer->load_state_dict({{"other/step", torch::zeros({})}}), Error);
}

// The message of the error of an optimizer that is given what another one has saved.
std::string error_of_state(const std::string& type, const Value::Table& saved,
                           const Value::Table& now) {
  Problem problem;
  const auto first = make_optimizer(type, saved, problem.group());
  problem.run(*first, 0, 2);
  const auto second = make_optimizer(type, now, problem.group());
  try {
    second->load_state_dict(first->state_dict());
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
    return error.what();
  }
  return "(no error)";
}

TEST(OptimizerStateTest, OfOtherOptionsIsRefusedAsSuch) {
  EXPECT_EQ(error_of_state("adam", {}, {{"amsgrad", true}}),
            "the optimizer state of weight has 3 of 4 tensors; the checkpoint is of another "
            "optimizer, or of other options of it (amsgrad, momentum, ...); resume with the old "
            "ones");
  EXPECT_EQ(error_of_state("sgd", {{"lr", 0.1}, {"momentum", 0.9}}, {{"lr", 0.1}}),
            "the optimizer state has 2 tensors, of which 0 fit; the checkpoint is of another model "
            "or optimizer, or of other options of it (amsgrad, momentum, ...); resume with the old "
            "ones");
}

}  // namespace
}  // namespace pergola::host
