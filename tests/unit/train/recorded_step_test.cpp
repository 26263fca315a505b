// SPDX-License-Identifier: BSD-3-Clause
// Updates that are recorded and replayed: the same numbers and hooks as without that, and what
// happens where it cannot be.
#include "host/train/recorded_step.h"

#include "pergola/suggest.h"
#include "unit/train/graph_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Four epochs of two batches of 4 and one of 2: 8 and 4 updates, of which three each come before
// the recording.
TEST_F(RecordedStepTest, NumbersAndHooksAreThoseOfUpdatesThatAreNotRecorded) {
  expect_same(options_for(12));
  EXPECT_EQ(replays_, 5 + 1);
  EXPECT_EQ(before_replays_, 5 + 1);
  EXPECT_EQ(recorder_.recorded, 4);  // two halves of two shapes
  EXPECT_EQ(recorder_.replayed, 12);
}

TEST_F(RecordedStepTest, ClippingIsTheSameWhereverItIsDone) {
  TrainerOptions options = options_for(12);
  options.max_grad_l2_norm = 0.1;
  for (const bool read : {true, false}) {
    options.gradients_are_read = read;
    std::vector<std::vector<double>> norms;
    expect_same(options, [&](GraphRun& run) {
      norms.emplace_back();
      run.spy->at_step_start = [&norms, at = norms.size() - 1](TrainerState& state) {
        norms[at].push_back(state.grad_norm.item<double>());
      };
    });
    EXPECT_EQ(replays_, 6);
    ASSERT_EQ(norms.size(), 2U);
    EXPECT_EQ(norms[0], norms[1]);
    EXPECT_EQ(norms[0].size(), 12U);
  }
}

// 7 is the first update that a recording is made for, 10 one that is replayed.
TEST_F(RecordedStepTest, SkippedStepsLeaveWeightsAndMeterAlone) {
  for (const std::int64_t skipped : {2, 5, 7, 10}) {
    const auto skip = [skipped](TrainerState& state) {
      state.skip_step = state.progress.update + 1 == skipped;
    };
    expect_same(options_for(12), [&](GraphRun& run) { run.spy->at_step_start = skip; });
    expect_same(options_for(12), [&](GraphRun& run) { run.spy->at_batch_end = skip; });
  }
}

TEST_F(RecordedStepTest, AHookMayChangeGradientsOrPutOthersInTheirPlace) {
  expect_same(options_for(12), [](GraphRun& run) {
    run.spy->at_step_start = [&run](TrainerState& state) {
      const at::NoGradGuard no_grad;
      at::Tensor bias = run.model->named_parameters()["second.bias"];
      bias.mutable_grad().mul_(2);
      if (state.progress.update == 10) bias.mutable_grad() = at::ones_like(bias);
    };
  });
  EXPECT_EQ(replays_, 6 - 1);  // that step is done operation by operation
}

TEST_F(RecordedStepTest, AveragedWeightsThatAnEvaluationUsesThrowNothingAway) {
  TrainerOptions options = options_for(12);
  options.evaluation_interval = {1, Duration::Unit::kUpdates};
  expect_same(options, {}, /*averages=*/true);
  EXPECT_EQ(recorder_.recorded, 4);
}

// By update 11 batches of 4 are recorded, and three of 2 have come; then both are.
TEST_F(RecordedStepTest, ParametersThatAreTrainedFromAnUpdateOnAreRecordedAnew) {
  expect_same(options_for(24), [](GraphRun& run) {
    run.model->named_parameters()["first.weight"].set_requires_grad(false);
    run.spy->at_update_end = [&run](TrainerState& state) {
      if (state.progress.update != 11) return;
      run.model->named_parameters()["first.weight"].set_requires_grad(true);
    };
  });
  EXPECT_EQ(recorder_.recorded, 2 + 4);
}

TEST_F(RecordedStepTest, AModuleThatStopsTrainingIsRecordedAnew) {
  expect_same(options_for(24), [](GraphRun& run) {
    run.spy->at_update_end = [&run](TrainerState& state) {
      if (state.progress.update == 11) run.model->named_children()["dropout"]->eval();
    };
  });
  EXPECT_EQ(recorder_.recorded, 2 + 4);
}

TEST_F(RecordedStepTest, ARunThatIsResumedGoesOnAsIfItHadNotStopped) {
  const auto weights_after = [&](GraphRun& run) { return run.train(); };
  torch::manual_seed(3);
  GraphRun whole(options_for(12), &recorder_);
  const std::vector<at::Tensor> expected = weights_after(whole);
  torch::manual_seed(3);
  GraphRun first(options_for(12), &recorder_);
  first.spy->at_update_end = [](TrainerState& state) {
    state.should_stop = state.progress.update == 8;
  };
  static_cast<void>(first.train());
  const CheckpointContent saved = snapshot(*first.trainer);
  GraphRun second(options_for(12), &recorder_);
  torch::manual_seed(99);
  static_cast<void>(second.trainer->restore(saved));
  expect_equal(weights_after(second), expected);
}

TEST_F(RecordedStepTest, WhatCannotBeRecordedIsToldOnceAndChangesNoNumber) {
  for (const int failing : {1, 2, 3}) {
    recorder_.failing = {failing};
    recorder_.asked = 0;
    CapturedLog log;
    expect_same(options_for(12));
    EXPECT_THAT(reasons(log), ElementsAre("CUDA error: not while a stream is capturing"));
    EXPECT_EQ(recorder_.asked, failing);
  }
}

TEST_F(RecordedStepTest, WhatCannotBeRecordedIsAnErrorWhereItIsRequired) {
  TrainerOptions options = options_for(12);
  options.graphs_are_required = true;
  recorder_.failing = {1};
  GraphRun run(options, &recorder_);
  EXPECT_THAT([&] { static_cast<void>(run.train()); },
              testing::ThrowsMessage<Error>(HasSubstr(
                  "training.cuda_graphs = true, but model '' is not recorded: CUDA error: "
                  "not while a stream is capturing; set it to \"auto\" or false")));
}

TEST_F(RecordedStepTest, WhatIsKnownBeforeTheFirstUpdateIsTold) {
  const auto told = [&](TrainerOptions options, const Change& change = {}) {
    CapturedLog log;
    expect_same(options, change);
    EXPECT_EQ(recorder_.asked, 0);
    return join(reasons(log));
  };
  TrainerOptions anomaly = options_for(6);
  anomaly.detect_anomaly = true;
  EXPECT_THAT(told(anomaly), HasSubstr("training.detect_anomaly reads "));
  TrainerOptions other = options_for(6);
  other.optimizer = "mine";
  EXPECT_THAT(told(other, [](GraphRun& run) { run.optimizer->can_be_recorded = false; }),
              HasSubstr("optimizer 'mine' has steps that cannot be"));
}

TEST_F(RecordedStepTest, AParameterThatTheOptimizerDoesNotHaveIsTold) {
  CapturedLog log;
  expect_same(options_for(12),
              [](GraphRun& run) { run.model->register_parameter("beside", torch::ones({1})); });
  EXPECT_THAT(reasons(log), ElementsAre("its parameter 'beside' requires a gradient, and no group "
                                        "of the optimizer has it"));
}

TEST_F(RecordedStepTest, PausedUpdatesAreDoneOperationByOperation) {
  expect_same(options_for(12), [](GraphRun& run) {
    run.spy->at_update_end = [&run](TrainerState& state) {
      run.trainer->pause_graphs(state.progress.update >= 8 && state.progress.update < 10);
    };
  });
  EXPECT_EQ(replays_, 6 - 2);
}

// Batches of 1, 2, ..., 18 samples, five times.
class GrowingBatches final : public BatchSource {
 public:
  std::int64_t num_batches() const noexcept override { return 18; }
  void start_epoch(std::int64_t /*epoch*/, std::int64_t first_batch) override { at_ = first_batch; }
  std::optional<SampleList> next() override {
    if (at_ == num_batches()) return std::nullopt;
    SampleList batch;
    batch.add_field("x", at::ones({++at_, 2}));
    batch.add_field("targets", at::ones({at_, 3}));
    batch.set_dataset("boring", "train");
    return batch;
  }
  Hook last_hook() const override { return {"get()"}; }

 private:
  std::int64_t at_ = 0;
};

TEST_F(RecordedStepTest, SixteenShapesAreRecordedAndOthersAreToldOnce) {
  CapturedLog log;
  const TrainerOptions options = options_for(5 * 18);
  GraphRun run(options, nullptr);
  GrowingBatches batches;
  Trainer trainer(TrainerParts{*run.model,
                               *run.optimizer,
                               nullptr,
                               batches,
                               {},
                               c10::Device(c10::kCPU),
                               nullptr,
                               &recorder_},
                  options, TrainerState());
  static_cast<void>(trainer.run());
  EXPECT_EQ(recorder_.recorded, 32);
  EXPECT_EQ(trainer.graph_replays(), 16 * 2);  // the fourth and the fifth time
  EXPECT_THAT(log.lines(),
              ElementsAre("[graph] updates of 16 shapes of batches are recorded; those of further "
                          "shapes are not",
                          "[graph] updates of model '' are replayed"));
}

}  // namespace
}  // namespace pergola::host
