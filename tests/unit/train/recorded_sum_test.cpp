// SPDX-License-Identifier: BSD-3-Clause
// Recorded updates of several micro-batches, and in fp16: the same numbers, hooks and state as
// without that.
#include "unit/train/graph_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace pergola::host {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class RecordedSumTest : public RecordedStepTest {};

// Each update has a batch of 4 twice or, at an epoch's end, one of 2. Of each three come before its
// recording, which the fourth update of 2 is the first to replay: the 8th. That of the end is made
// with the 5th, before which four updates and four batches of 4 were done.
TEST_F(RecordedSumTest, MicroBatchesOfSeveralShapesAddUp) {
  TrainerOptions options = options_for(12, /*update_frequency=*/2);
  expect_same(options);
  EXPECT_EQ(replays_, 7);            // 5, and 7 to 12
  EXPECT_EQ(before_replays_, 7);     // rates are written for each
  EXPECT_EQ(recorder_.recorded, 4);  // two shapes, and the step after each of these
  options.update_frequency = 3;      // all of an epoch; of 2 the first three come with as many
  expect_same(options);
  EXPECT_EQ(replays_, 9);
}

// Of 12 samples an epoch's last update has one batch, which counts as much as two in the others; in
// three of four updates there are three.
TEST_F(RecordedSumTest, ALastUpdateOfFewerMicroBatchesCountsThemAsMuch) {
  samples_ = 12;
  expect_same(options_for(12, /*update_frequency=*/2));
  EXPECT_EQ(replays_, 9);
  EXPECT_EQ(recorder_.recorded, 2);
  samples_ = 16;
  expect_same(options_for(12, /*update_frequency=*/3));
}

TEST_F(RecordedSumTest, SumsOfMicroBatchesAreClippedTheSame) {
  TrainerOptions options = options_for(12, /*update_frequency=*/2);
  options.max_grad_l2_norm = 0.1;
  for (const bool read : {true, false}) {
    options.gradients_are_read = read;
    recorder_.recorded = 0;
    std::vector<std::vector<double>> norms;
    expect_same(options, [&](GraphRun& run) {
      norms.emplace_back();
      run.spy->at_step_start = [&norms, at = norms.size() - 1](TrainerState& state) {
        norms[at].push_back(state.grad_norm.item<double>());
      };
    });
    EXPECT_EQ(recorder_.recorded, read ? 4 : 6);
    ASSERT_EQ(norms.size(), 2U);
    EXPECT_EQ(norms[0], norms[1]);
    EXPECT_EQ(norms[0].size(), 12U);
  }
}

TEST_F(RecordedSumTest, HooksBetweenMicroBatchesMaySkipTheStepOrChangeGradients) {
  for (const std::int64_t skipped : {2, 4, 5, 7, 9, 10}) {
    expect_same(options_for(12, 2), [&](GraphRun& run) {
      run.spy->at_step_start = [skipped](TrainerState& state) {
        state.skip_step = state.progress.update + 1 == skipped;
      };
    });
  }
  const auto act = [](GraphRun& run) {
    const at::NoGradGuard no_grad;
    at::Tensor bias = run.model->named_parameters()["second.bias"];
    const std::int64_t update = run.trainer->state().progress.update;
    if (update % 3 == 1) bias.mutable_grad() = at::ones_like(bias);  // elsewhere
    if (update % 4 == 2) bias.mutable_grad().reset();
    if (bias.grad().defined()) bias.mutable_grad().mul_(2);
  };
  expect_same(options_for(12, 2),
              [&](GraphRun& run) { run.spy->at_batch_end = [&](TrainerState&) { act(run); }; });
  EXPECT_GT(replays_, 0);
  expect_same(options_for(12, 2),
              [&](GraphRun& run) { run.spy->at_step_start = [&](TrainerState&) { act(run); }; });
  EXPECT_GT(replays_, 0);
}

// Batches of 2 give one of four parameters a gradient: alone, or beside others of all.
TEST_F(RecordedSumTest, SomeMicroBatchesMayGiveFewerParametersAGradient) {
  for (const std::int64_t frequency : {2, 3}) {
    expect_same(options_for(16, frequency), [](GraphRun& run) {
      run.model->on_forward = [&run](ModelOutput& output) {
        if (output.scores.size(0) != 2) return;
        output.scores = output.scores.detach() + run.model->named_parameters()["first.bias"][0];
      };
    });
    // 5, and 7 to 16: those of 4 have a step of their own, and those of 2. Or 4 to 16.
    EXPECT_EQ(replays_, frequency == 2 ? 11 : 13);
  }
}

TEST_F(RecordedSumTest, MicroBatchesAreRecordedAnewWithParametersThatAreTrainedFromAnUpdateOn) {
  expect_same(options_for(24, 2), [](GraphRun& run) {
    run.model->named_parameters()["first.weight"].set_requires_grad(false);
    const auto unfreeze = [&run](TrainerState& state) {
      if (state.progress.update < 11) return;
      run.model->named_parameters()["first.weight"].set_requires_grad(true);
    };
    run.spy->at_batch_end = unfreeze;  // in the middle of update 12, or of 13
  });
  EXPECT_EQ(recorder_.recorded, 4 + 4);
}

TEST_F(RecordedSumTest, MicroBatchesThatCannotBeRecordedAreToldOnceAndChangeNoNumber) {
  TrainerOptions options = options_for(12, 2);
  options.max_grad_l2_norm = 0.1;
  options.gradients_are_read = false;
  for (const int failing : {1, 2, 3, 4, 5, 6}) {
    recorder_.failing = {failing};
    recorder_.asked = 0;
    CapturedLog log;
    expect_same(options);
    EXPECT_THAT(reasons(log), ElementsAre("CUDA error: not while a stream is capturing"));
    EXPECT_EQ(recorder_.asked, failing);
  }
}

// In fp16. Gradients of some updates are 1e38 times as large, which the scale makes infinite; a
// buffer counts forward passes.
class RecordedScalerTest : public RecordedStepTest {
 protected:
  static TrainerOptions fp16(std::int64_t max_updates, std::int64_t frequency = 1) {
    TrainerOptions options = options_for(max_updates, frequency);
    options.precision = Precision::kFp16;
    return options;
  }
  // Nobody asks whether there was a step.
  static TrainerOptions fp16_of_the_device(std::int64_t max_updates, std::int64_t frequency = 1) {
    TrainerOptions options = fp16(max_updates, frequency);
    options.gradients_are_read = false;
    options.steps_may_be_skipped = false;
    return options;
  }
  static Change overflowing(std::set<std::int64_t> updates) {
    return [updates = std::move(updates)](GraphRun& run) {
      const at::Tensor count = run.model->register_buffer("count", at::zeros({}, at::kLong));
      run.model->on_forward = [&run, updates, count](ModelOutput& output) {
        count.add_(1);
        if (!updates.contains(run.trainer->state().progress.update + 1)) return;
        const at::Tensor large = output.scores.to(at::kFloat) * 1e38;
        output.scores = output.scores + (large - large.detach());
      };
    };
  }
};

// 2 and 5 come before a recording, 7 with one, 9 has a log line; 10 and 11 are replayed.
TEST_F(RecordedScalerTest, StepsThatOverflowAreLeftOutAndTheScaleIsThatOfARunWithout) {
  for (const std::int64_t frequency : {1, 2}) {
    for (const bool clips : {false, true}) {
      for (TrainerOptions options : {fp16(14, frequency), fp16_of_the_device(14, frequency)}) {
        if (clips) options.max_grad_l2_norm = 0.1;
        expect_same(options, overflowing({2, 5, 7, 9, 10, 11}));
        EXPECT_GT(replays_, 0);
      }
    }
  }
}

TEST_F(RecordedScalerTest, TheCpuAsksForTheOverflowOnlyWhereSomebodyActsOnIt) {
  const auto skips_of = [&](const TrainerOptions& options) {
    GraphRun run(options, &recorder_);
    static_cast<void>(run.train());
    return dynamic_cast<SkippingMomentum&>(*run.optimizer).skips;
  };
  EXPECT_EQ(skips_of(fp16_of_the_device(12)), 12);
  TrainerOptions read = fp16_of_the_device(12);
  read.measure_grad_norm = true;
  EXPECT_EQ(skips_of(read), 0);
}

// 65536 * 2^-30 is the first scale below the least one: update 31 would be too many. The log line
// after it comes with 33.
TEST_F(RecordedScalerTest, OverflowsWithoutEndAreAnErrorAtTheNextLogLine) {
  std::set<std::int64_t> all;
  for (std::int64_t update = 1; update <= 40; ++update) all.insert(update);
  GraphRun run(fp16_of_the_device(40), &recorder_);
  overflowing(all)(run);
  EXPECT_THAT([&] { static_cast<void>(run.train()); },
              testing::ThrowsMessage<Error>(HasSubstr("fp16's loss scale is down at ")));
  EXPECT_EQ(run.trainer->state().progress.update, 32);
}

TEST_F(RecordedScalerTest, ARunThatIsResumedGoesOnAsIfItHadNotStopped) {
  for (const std::int64_t frequency : {1, 2}) {
    const TrainerOptions options = fp16_of_the_device(12, frequency);
    const Change change = overflowing({2, 6, 10});
    torch::manual_seed(3);
    GraphRun whole(options, &recorder_);
    change(whole);
    const std::vector<at::Tensor> expected = whole.train();
    torch::manual_seed(3);
    GraphRun first(options, &recorder_);
    change(first);
    first.spy->at_update_end = [](TrainerState& state) {
      state.should_stop = state.progress.update == 8;
    };
    static_cast<void>(first.train());
    const CheckpointContent saved = snapshot(*first.trainer);
    GraphRun second(options, &recorder_);
    change(second);
    torch::manual_seed(99);
    static_cast<void>(second.trainer->restore(saved));
    expect_equal(second.train(), expected);
  }
}

}  // namespace
}  // namespace pergola::host
