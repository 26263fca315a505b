// SPDX-License-Identifier: BSD-3-Clause
// The numbers of MMF's own trainer tests (MMF.md §12.4). Not among them is per_device_batch_size in
// a world of two: a run has one process.
#include "host/train/evaluation.h"
#include "unit/train/numbers_run.h"

#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>
#include <numeric>

namespace pergola::host {
namespace {

void expect_close(const NumbersRun& one, const NumbersRun& other) {
  for (std::size_t i = 0; i < one.weights().size(); ++i) {
    EXPECT_TRUE(at::allclose(one.weights()[i], other.weights()[i])) << i;
  }
}

TEST(MmfNumbersTest, EvaluationOfAHundredNumbers) {
  SimpleModel model;
  model.build();
  const NumbersDataset data(100);
  LoaderOptions options;
  options.dataset_name = "numbers";
  options.dataset_type = "val";
  options.batch_size = 1;
  DataLoader loader(data, options);
  const Registry registry = builtin_registry();
  MetricList metrics({}, registry);
  const Numbers numbers =
      evaluate({model, {&loader}, metrics, c10::Device(c10::kCPU), Step::kValidation});
  EXPECT_NEAR(std::accumulate(model.losses.begin(), model.losses.end(), 0.0), 493377.5312, 0.05);
  EXPECT_NEAR(numbers.at("val/total_loss"), 4933.775312, 5e-4);  // ours is the mean
  EXPECT_NEAR(model.first_score.item<double>(), -0.2379742, 1e-7);
}

TEST(MmfNumbersTest, FirstUpdateOfTwoBatchesOfTwo) {
  NumbersRun run(100, 2, updates(1, 2));
  run.run();
  ASSERT_EQ(run.model.losses.size(), 2U);
  // MMF divides each loss by the batches of the update before it logs it.
  EXPECT_NEAR(run.model.losses[0] / 2, 0.2599, 5e-5);
  EXPECT_NEAR(run.model.losses[1] / 2, 4.2090, 5e-5);
  EXPECT_NEAR((run.model.losses[0] + run.model.losses[1]) / 2, 4.4688, 5e-5);
}

// 20 samples in batches of 6 are 6, 6, 6, 2: groups of three and one, as 18 and 2 are. Two epochs
// of two updates each.
TEST(MmfNumbersTest, GroupsOfThreeAreBatchesOfThriceTheSize) {
  TrainingConfig training;
  training.max_epochs = 2;
  EXPECT_EQ(training.updates_to_train(updates_in_epoch(4, 3)), 4);
  EXPECT_EQ(training.updates_to_train(updates_in_epoch(2, 1)), 4);
  NumbersRun groups(20, 6, updates(4, 3));
  NumbersRun batches(20, 18, updates(4));
  groups.run();
  batches.run();
  EXPECT_EQ(groups.trainer->state().progress.epoch, 2);
  EXPECT_EQ(batches.trainer->state().progress.epoch, 2);
  expect_close(groups, batches);
}

TEST(MmfNumbersTest, GroupsOfTwoAreBatchesOfTwiceTheSize) {
  NumbersRun groups(100, 2, updates(8, 2));
  NumbersRun batches(100, 4, updates(8));
  groups.run();
  batches.run();
  expect_close(groups, batches);
}

TEST(MmfNumbersTest, TwoUpdatesOfTwoBatchesAreFourIterations) {
  NumbersRun run(100, 2, updates(2, 2));
  run.run();
  EXPECT_EQ(run.model.forwards, 4);
  EXPECT_EQ(run.trainer->state().progress.update, 2);
}

// Of max_epochs = .04 with 100 batches an epoch; its epochs beat the updates. MMF says epoch 1: it
// counts the one in hand.
TEST(MmfNumbersTest, FourHundredthsOfAnEpochAreFourUpdates) {
  TrainingConfig training;
  training.max_updates = 2;
  training.max_epochs = 0.04;
  NumbersRun run(100, 1, updates(training.updates_to_train(updates_in_epoch(100, 1))));
  run.run();
  EXPECT_EQ(run.trainer->updates_per_epoch(), 100);
  EXPECT_EQ(run.model.forwards, 4);
  EXPECT_EQ(run.trainer->state().progress.update, 4);
  EXPECT_EQ(run.trainer->state().progress.epoch, 0);
  EXPECT_EQ(run.trainer->state().progress.batch_in_epoch, 4);
}

// Calls a function with the trainer's state before each step, when gradients are clipped, or after
// each update.
class Watcher final : public Callback {
 public:
  using Look = std::function<void(const TrainerState&)>;
  Watcher(Look before_step, Look after_update)
      : before_step_(std::move(before_step)), after_update_(std::move(after_update)) {}
  void on_step_start(TrainerState& state) override {
    if (before_step_) before_step_(state);
  }
  void on_update_complete(TrainerState& state) override {
    if (after_update_) after_update_(state);
  }

 private:
  Look before_step_;
  Look after_update_;
};

// The rate of each update. MMF's scheduler steps at the end of an update, so that it tells of the
// first update what the second one has here: 1e-2, and then 1e-3.
TEST(MmfNumbersTest, StepsAtOneAndTwoAreTheRatesOfTheSecondAndThirdUpdate) {
  NumbersRun run(100, 1, updates(4), "sgd", {{"lr", 0.1}},
                 {"pythia", {{"lr_steps", Value::Array{1, 2}}, {"lr_ratio", 0.1}}});
  std::vector<double> rates;
  run.trainer->add_callback("watch", std::make_unique<Watcher>(nullptr, [&](const TrainerState&) {
                              rates.push_back(run.trainer->lr());
                            }));
  run.run();
  using testing::DoubleNear;
  EXPECT_THAT(rates, testing::ElementsAre(0.1, DoubleNear(1e-2, 1e-12), DoubleNear(1e-3, 1e-12),
                                          DoubleNear(1e-3, 1e-12)));
}

// The gradients of five updates as a loop by hand has them, with torch's own clipping and AdamW.
std::vector<double> clipped_by_torch(double max_norm) {
  torch::nn::Linear linear(1, 1);
  {
    const at::NoGradGuard no_grad;
    linear->weight.fill_(SimpleModel::kWeight);
    linear->bias.fill_(SimpleModel::kBias);
  }
  torch::optim::AdamW optimizer(linear->parameters(),
                                torch::optim::AdamWOptions(5e-5).eps(1e-8).weight_decay(0));
  std::vector<double> gradients;
  for (int update = 0; update < 5; ++update) {
    const at::Tensor x = torch::tensor({2.0F * update, 2.0F * update + 1}).view({2, 1});
    optimizer.zero_grad();
    at::mse_loss(-linear->forward(x), x).backward();
    EXPECT_GT(torch::nn::utils::clip_grad_norm_(linear->parameters(), max_norm), max_norm);
    for (const at::Tensor& weight : linear->parameters()) {
      gradients.push_back(weight.grad().item<double>());
    }
    optimizer.step();
  }
  return gradients;
}

// MMF compares its trainer with Lightning's, to six decimals, and each gradient with the limit.
TEST(MmfNumbersTest, ClippedGradientsAreThoseOfALoopByHand) {
  TrainerOptions options = updates(5);
  options.max_grad_l2_norm = 0.15;
  NumbersRun run(100, 2, options);
  std::vector<double> gradients;
  const auto look = [&](const TrainerState&) {
    for (const at::Tensor& weight : run.weights()) {
      gradients.push_back(weight.grad().item<double>());
      EXPECT_LE(std::abs(gradients.back()), 0.15);
    }
  };
  run.trainer->add_callback("watch", std::make_unique<Watcher>(look, nullptr));
  run.run();
  const std::vector<double> expected = clipped_by_torch(0.15);
  ASSERT_EQ(gradients.size(), 10U);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(gradients[i], expected[i], 5e-7) << i;
  }
}

// MMF's meters have the mean of the last 20 validation losses. With 50 batches of two numbers a
// validation, these are those of the last 20 batches: 60 .. 99.
TEST(MmfNumbersTest, ValidationWhileTrainingHasMmfsLosses) {
  NumbersRun run(100, 2, updates(8));
  const NumbersDataset data(100);
  LoaderOptions options;
  options.dataset_name = "numbers";
  options.dataset_type = "val";
  options.batch_size = 2;
  DataLoader loader(data, options);
  std::vector<double> windows;
  const auto validate = [&] {
    const std::size_t before = run.model.losses.size();
    const Registry registry = builtin_registry();
    MetricList metrics({}, registry);
    static_cast<void>(
        evaluate({run.model, {&loader}, metrics, c10::Device(c10::kCPU), Step::kValidation}));
    EXPECT_EQ(run.model.losses.size(), before + 50);
    windows.push_back(std::accumulate(run.model.losses.end() - 20, run.model.losses.end(), 0.0) /
                      20);
  };
  // Every three updates, and at the end.
  run.trainer->add_callback("validate",
                            std::make_unique<Watcher>(nullptr, [&](const TrainerState& state) {
                              const std::int64_t update = state.progress.update;
                              if (update % 3 == 0 || update == 8) validate();
                            }));
  run.run();
  ASSERT_EQ(windows.size(), 3U);
  EXPECT_NEAR(windows[0], 9705.2953125, 0.05);
  EXPECT_NEAR(windows[1], 9703.29765625, 0.05);
  EXPECT_NEAR(windows[2], 9701.88046875, 0.05);
}

}  // namespace
}  // namespace pergola::host
