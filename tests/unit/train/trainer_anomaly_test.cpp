// SPDX-License-Identifier: BSD-3-Clause
// training.detect_anomaly in a trainer: who decides what a NaN ends.
#include "unit/callbacks/captured_log.h"
#include "unit/support/error_of.h"
#include "unit/train/test_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace pergola::host {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Skips an update with an anomaly.
class Skipper final : public Callback {
 public:
  Skipper(const std::optional<Trainer>& trainer, std::vector<std::int64_t>& updates)
      : trainer_(trainer), updates_(updates) {}
  void on_batch_end(TrainerState& state, const SampleList&, const ModelOutput&) override {
    if (trainer_->anomaly().empty()) return;
    state.skip_step = true;
    updates_.push_back(state.progress.update + 1);
  }

 private:
  const std::optional<Trainer>& trainer_;
  std::vector<std::int64_t>& updates_;
};

class TrainerAnomalyTest : public TrainerTest {
 protected:
  static TrainerOptions watching(bool exit_on_nan_losses = true) {
    TrainerOptions options = options_for(4);
    options.detect_anomaly = true;
    options.exit_on_nan_losses = exit_on_nan_losses;
    return options;
  }
  // The logarithm of -1, in the batch of that number.
  static void make_nan_of_loss(TestRun& run, int batch) {
    run.model->on_forward = [batch, n = 0](ModelOutput& output) mutable {
      if (++n == batch) output.scores = (output.scores * 0 - 1).log();
    };
  }
  // The derivative of a root at 0 is infinite: times the 0 of the product behind it that is NaN.
  static void make_nan_of_gradient(TestRun& run, int batch) {
    run.model->on_forward = [&run, batch, n = 0](ModelOutput& output) mutable {
      if (++n != batch) return;
      const at::Tensor bias = run.model->named_parameters()["second.bias"];
      output.losses = LossMap{{"train/boring/own", (bias * 0).sqrt().mul(0).sum()}};
    };
  }
  static std::string error_of(TestRun& run) {
    return test::error_of([&] { static_cast<void>(run.trainer->run()); }, ErrorKind::kNan);
  }
};

TEST_F(TrainerAnomalyTest, TheOperationOfTheForwardPassIsNamedAndTheRunEnds) {
  TestRun run(watching());
  make_nan_of_loss(run, 2);
  EXPECT_EQ(error_of(run),
            concat("not a finite number at update 2: training_step() made a NaN; the first "
                   "operation with one in its result is aten::log (training.detect_anomaly)",
                   kNotFiniteAdvice));
  EXPECT_THAT(run.hooks.back(), HasSubstr("exception: not a finite number at update 2"));
}

TEST_F(TrainerAnomalyTest, SoIsTheOneOfTheBackwardPassWhoseLossIsFinite) {
  TestRun run(watching());
  make_nan_of_gradient(run, 2);
  EXPECT_THAT(error_of(run),
              HasSubstr("not a finite number at update 2: the backward pass made a NaN; the first "
                        "operation with one in its result is aten::div in SqrtBackward0 "));
}

TEST_F(TrainerAnomalyTest, ACallbackThatSkipsTheUpdateDecides) {
  for (const auto& make_nan : {make_nan_of_loss, make_nan_of_gradient}) {
    TestRun run(watching());
    make_nan(run, 2);
    std::vector<std::int64_t> skipped;
    run.trainer->add_callback("skip", std::make_unique<Skipper>(run.trainer, skipped));
    EXPECT_EQ(run.trainer->run(), Outcome::kFinished);
    EXPECT_THAT(skipped, ElementsAre(2));
  }
}

// Weights that are NaN make every further update an anomaly.
TEST_F(TrainerAnomalyTest, WhereNanIsAllowedTheFirstOneIsToldAndTrainingGoesOn) {
  TestRun run(watching(/*exit_on_nan_losses=*/false));
  make_nan_of_gradient(run, 2);
  CapturedLog log;
  EXPECT_EQ(run.trainer->run(), Outcome::kFinished);
  EXPECT_THAT(log.warnings(),
              ElementsAre(HasSubstr("its own losses"),
                          "[nan] update 2: the backward pass made a NaN; the first operation with "
                          "one in its result is aten::div in SqrtBackward0 "
                          "(training.detect_anomaly); training goes on, as "
                          "training.exit_on_nan_losses = false says, and later ones are not told"));
}

TEST_F(TrainerAnomalyTest, LookingChangesNothing) {
  std::vector<std::vector<at::Tensor>> weights;
  for (const TrainerOptions& options : {watching(), options_for(4)}) {
    TestRun run(options);  // seeds the random numbers
    static_cast<void>(run.trainer->run());
    weights.push_back(run.weights());
  }
  expect_equal(weights[0], weights[1]);
}

}  // namespace
}  // namespace pergola::host
