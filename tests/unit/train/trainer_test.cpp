// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/trainer.h"

#include "unit/train/test_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Asks for the end within an update, as early as it can after the step.
class Stopper final : public Callback {
 public:
  explicit Stopper(std::int64_t update) : update_(update) {}
  void on_update_end(TrainerState& state, const SampleList&, const ModelOutput&) override {
    if (state.progress.update == update_) state.should_stop = true;
  }

 private:
  std::int64_t update_;
};

TEST_F(TrainerTest, ProgressCountsSamplesBatchesAndEpochs) {
  TestRun run(options_for(4));
  static_cast<void>(run.trainer->run());
  const Progress& progress = run.trainer->state().progress;
  EXPECT_EQ(progress.update, 4);
  EXPECT_EQ(progress.epoch, 1);
  EXPECT_EQ(progress.batch_in_epoch, 1);
  EXPECT_EQ(progress.samples_seen, 10 + 4);
}

TEST_F(TrainerTest, ValidationComesAtItsInterval) {
  TrainerOptions options = options_for(6);
  options.evaluation_interval = {4};
  TestRun run(options);
  static_cast<void>(run.trainer->run());
  EXPECT_EQ(run.validations, 2);  // at update 4, and at the end
}

TEST_F(TrainerTest, AnUpdateThatACallbackMakesTheLastIsLoggedAndValidated) {
  TestRun run(options_for(50));  // log lines at 3, 6, ...; validations at 3, 6, ...
  run.trainer->add_callback("stopper", std::make_unique<Stopper>(4));
  EXPECT_EQ(run.trainer->run(), Outcome::kFinished);
  EXPECT_EQ(run.trainer->state().progress.update, 4);
  EXPECT_TRUE(run.trainer->log_due());
  EXPECT_EQ(run.validations, 2);
  EXPECT_THAT(std::vector<std::string>(run.hooks.end() - 4, run.hooks.end()),
              ElementsAre("validation_start", "validation_end", "update_complete", "train_end"));
}

// Batches of 4, 4 and 2 samples, each with its size as its loss.
TEST_F(TrainerTest, ShortLastBatchWeighsWhatItIsInTheLoggedLosses) {
  TestRun run(options_for(3));
  run.model->on_forward = [&run](ModelOutput& output) {
    const at::Tensor none = run.model->named_parameters()["second.bias"].sum() * 0;
    output.losses = LossMap{{"train/boring/own", none + output.scores.size(0)}};
  };
  static_cast<void>(run.trainer->run());
  EXPECT_DOUBLE_EQ(run.trainer->meter().take().at("train/boring/own/avg"), 3.6);  // 36 / 10
}

TEST_F(TrainerTest, EachGroupDividesByItsOwnNumberOfBatches) {
  // Scores are made constant, so that every micro-batch has the same loss and gradient: a group of
  // two batches and the shorter one at the epoch's end must both give that gradient once.
  std::vector<at::Tensor> gradients;
  for (const std::int64_t updates : {1, 2}) {  // ends after the group of two, and after that of one
    TestRun run(options_for(updates, /*update_frequency=*/2));
    run.model->on_forward = [&run](ModelOutput& output) {
      const at::Tensor bias = run.model->named_parameters()["second.bias"];
      output.losses = LossMap{{"train/boring/own", (bias * 3).sum()}};
    };
    static_cast<void>(run.trainer->run());
    gradients.push_back(run.model->named_parameters()["second.bias"].grad());
    EXPECT_EQ(run.trainer->state().progress.samples_seen, updates == 1 ? 8 : 10);
  }
  for (const at::Tensor& gradient : gradients) EXPECT_TRUE(gradient.equal(torch::full({3}, 3.0F)));
}

TEST_F(TrainerTest, NanNamesTheLossAndReachesTheCallbacks) {
  TestRun run(options_for(5));
  run.model->on_forward = [](ModelOutput& output) { output.scores = output.scores * std::nan(""); };
  try {
    static_cast<void>(run.trainer->run());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNan);
    EXPECT_THAT(error.what(), HasSubstr("not a finite number at update 1: train/boring/logit_bce"));
  }
  EXPECT_THAT(run.hooks.back(), HasSubstr("exception: not a finite number"));
}

// The step before it may have ended in weights that are not finite: nobody may save them.
TEST_F(TrainerTest, NanOfAValidationEndsTheRunBeforeAnybodyHearsOfIt) {
  TestRun run(options_for(5));
  run.validation_loss = std::nan("");
  try {
    static_cast<void>(run.trainer->run());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNan);
    EXPECT_THAT(error.what(),
                HasSubstr("not a finite number in the validation at update 3: val/total_loss"));
  }
  EXPECT_THAT(run.hooks, testing::Not(testing::Contains("validation_end")));
}

TEST_F(TrainerTest, NanIsPassedOverWhenThatIsAllowed) {
  TrainerOptions options = options_for(2);
  options.exit_on_nan_losses = false;
  TestRun run(options);
  run.model->on_forward = [](ModelOutput& output) { output.scores = output.scores * std::nan(""); };
  EXPECT_EQ(run.trainer->run(), Outcome::kFinished);
}

TEST_F(TrainerTest, AModelThatThrowsIsNamedWithTheUpdate) {
  TestRun run(options_for(5));
  run.model->on_forward = [](ModelOutput&) { throw std::runtime_error("broken\nstack"); };
  try {
    static_cast<void>(run.trainer->run());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kPlugin);
    EXPECT_STREQ(error.what(),
                 "training_step() of the model failed at update 1: broken; this is a matter for "
                 "the plugin's author");
  }
}

TEST_F(TrainerTest, NothingToTrainOnIsAConfigError) {
  TestRun run(options_for(5));
  run.model->on_forward = [](ModelOutput& output) { output.losses = LossMap{}; };
  try {
    static_cast<void>(run.trainer->run());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_THAT(error.what(), HasSubstr("there is nothing to train on"));
  }
}

TEST_F(TrainerTest, ClippingBoundsTheStep) {
  TrainerOptions options = options_for(1);
  options.max_grad_l2_norm = 1e-3;
  TestRun run(options);
  static_cast<void>(run.trainer->run());
  double squares = 0;
  for (const at::Tensor& parameter : run.model->parameters()) {
    squares += parameter.grad().pow(2).sum().item<double>();
  }
  EXPECT_NEAR(std::sqrt(squares), 1e-3, 1e-5);
}

TEST_F(TrainerTest, ClippingByValueBoundsEachNumber) {
  TrainerOptions options = options_for(1);
  options.clip_grad_value = 1e-3;
  TestRun run(options);
  static_cast<void>(run.trainer->run());
  double largest = 0;
  for (const at::Tensor& parameter : run.model->parameters()) {
    largest = std::max(largest, parameter.grad().abs().max().item<double>());
  }
  EXPECT_FLOAT_EQ(static_cast<float>(largest), 1e-3F);
}

}  // namespace
}  // namespace pergola::host
