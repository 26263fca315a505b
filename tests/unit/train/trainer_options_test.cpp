// SPDX-License-Identifier: BSD-3-Clause
// Intervals, precision, skipped steps, and what a reset leaves out.
#include "unit/train/test_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using testing::ElementsAre;

// Calls a function in one hook.
class At final : public Callback {
 public:
  using Do = std::function<void(TrainerState&)>;
  At(std::string hook, Do act) : hook_(std::move(hook)), act_(std::move(act)) {}
  void on_batch_end(TrainerState& state, const SampleList&, const ModelOutput&) override {
    if (hook_ == "batch_end") act_(state);
  }
  void on_step_start(TrainerState& state) override {
    if (hook_ == "step_start") act_(state);
  }
  void on_update_complete(TrainerState& state) override {
    if (hook_ == "update_complete") act_(state);
  }

 private:
  std::string hook_;
  Do act_;
};

class TrainerOptionsTest : public TrainerTest {
 protected:
  // The updates after which a run of six updates (three an epoch) validated.
  static std::vector<std::int64_t> validations(Duration interval) {
    TrainerOptions options = options_for(6);
    options.evaluation_interval = interval;
    TestRun run(options);
    std::vector<std::int64_t> updates;
    run.on_validate = [&] { updates.push_back(run.trainer->state().progress.update); };
    static_cast<void>(run.trainer->run());
    return updates;
  }
  // A buffer of the model that says how often its forward was called.
  static at::Tensor count_forwards(TestRun& run) {
    const at::Tensor count = run.model->register_buffer("forwards", at::zeros({}, at::kLong));
    run.model->on_forward = [count](ModelOutput&) { count.add_(1); };
    return count;
  }
};

TEST_F(TrainerOptionsTest, ValidationIsDueInUpdatesAndEpochs) {
  using Unit = Duration::Unit;
  EXPECT_THAT(validations({0, Unit::kUpdates}), ElementsAre(3, 6));
  EXPECT_THAT(validations({4, Unit::kUpdates}), ElementsAre(4, 6));
  EXPECT_THAT(validations({2, Unit::kEpochs}), ElementsAre(6));
  EXPECT_THAT(validations({1, Unit::kEpochs}), ElementsAre(3, 6));
  // 1.5 updates: completed in updates 2, 3, 5, 6.
  EXPECT_THAT(validations({0.5, Unit::kEpochs}), ElementsAre(2, 3, 5, 6));
  EXPECT_THAT(validations({3600, Unit::kSeconds}), ElementsAre(6));
  EXPECT_THAT(validations({1e-9, Unit::kSeconds}), ElementsAre(1, 2, 3, 4, 5, 6));
}

// What on_batch_end or on_step_start takes out leaves weights, buffers, optimizer and meter as they
// were.
TEST_F(TrainerOptionsTest, ASkippedStepChangesNothingButTheCounts) {
  for (const char* hook : {"batch_end", "step_start"}) {
    TestRun run(options_for(3));
    const at::Tensor forwards = count_forwards(run);
    CheckpointContent before;
    run.trainer->add_callback("skip", std::make_unique<At>(hook, [&](TrainerState& state) {
                                if (state.progress.update == 1) state.skip_step = true;
                              }));
    run.trainer->add_callback(
        "look", std::make_unique<At>("update_complete", [&](TrainerState& state) {
          if (state.progress.update == 1) before = snapshot(*run.trainer);
          if (state.progress.update != 2) return;
          const CheckpointContent after = snapshot(*run.trainer);
          for (std::size_t i = 0; i < before.model.size(); ++i) {
            EXPECT_TRUE(before.model[i].second.equal(after.model[i].second)) << hook;
          }
          for (std::size_t i = 0; i < before.trainer.size(); ++i) {
            if (before.trainer[i].first.starts_with("rng/")) continue;
            EXPECT_TRUE(before.trainer[i].second.equal(after.trainer[i].second)) << hook;
          }
          EXPECT_EQ(to_string(*before.state.find("meter")), to_string(*after.state.find("meter")));
        }));
    static_cast<void>(run.trainer->run());
    EXPECT_EQ(run.trainer->state().progress.update, 3);
    EXPECT_EQ(run.trainer->state().progress.samples_seen, 10);
    EXPECT_EQ(forwards.item<std::int64_t>(), 2) << "of three updates, one of which was skipped";
  }
}

TEST_F(TrainerOptionsTest, TheNormIsThereFromTheStepOnWhenItIsAskedFor) {
  for (const bool asked : {false, true}) {
    TrainerOptions options = options_for(1);
    options.measure_grad_norm = asked;
    TestRun run(options);
    std::vector<bool> defined;
    for (const char* hook : {"batch_end", "step_start", "update_complete"}) {
      run.trainer->add_callback(hook, std::make_unique<At>(hook, [&](TrainerState& state) {
                                  defined.push_back(state.grad_norm.defined());
                                }));
    }
    static_cast<void>(run.trainer->run());
    EXPECT_THAT(defined, ElementsAre(false, asked, asked));
  }
}

// 1e30 * 65536 is no number of float32: the gradients are infinite, so the step is left out and the
// scale halved.
TEST_F(TrainerOptionsTest, AnOverflowInFp16SkipsTheStepAndHalvesTheScale) {
  TrainerOptions options = options_for(1);
  options.precision = Precision::kFp16;
  options.exit_on_nan_losses = false;
  options.steps_may_be_skipped = false;  // by a callback: the scaler may
  TestRun run(options);
  const at::Tensor forwards = run.model->register_buffer("forwards", at::zeros({}, at::kLong));
  const std::vector<at::Tensor> before = run.weights();
  run.model->on_forward = [&run, forwards](ModelOutput& output) {
    forwards.add_(1);
    const at::Tensor bias = run.model->named_parameters()["second.bias"];
    output.losses = LossMap{{"train/boring/own", bias.sum() * 1e35}};
  };
  static_cast<void>(run.trainer->run());
  expect_equal(run.weights(), before);
  EXPECT_EQ(run.trainer->scaler()->current_scale(), 32768);
}

TEST_F(TrainerOptionsTest, BFloat16ComputesInItAndKeepsTheWeightsInFloat32) {
  TrainerOptions options = options_for(3);
  options.precision = Precision::kBf16;
  TestRun run(options);
  std::vector<c10::ScalarType> types;
  run.model->on_forward = [&](ModelOutput& output) {
    types.push_back(output.scores.scalar_type());
  };
  static_cast<void>(run.trainer->run());
  EXPECT_THAT(types, testing::Each(at::kBFloat16));
  for (const at::Tensor& weight : run.weights()) EXPECT_EQ(weight.scalar_type(), at::kFloat);
}

class ResetTest : public TrainerTest {
 protected:
  // A run of seven updates that begins with what four of another left, but for `reset`.
  TestRun& resumed(const ResetConfig& reset, Precision before = Precision::kFp16,
                   Precision now = Precision::kFp16) {
    TrainerOptions options = options_for(7);
    options.precision = before;
    TestRun first(options, /*stop_after=*/4);
    static_cast<void>(first.trainer->run());
    saved_ = snapshot(*first.trainer);
    if (before == Precision::kFp16) saved_.state["scaler"]["scale"] = 1024.0;
    options.precision = now;
    second_ = std::make_unique<TestRun>(options);
    report_ = second_->trainer->restore(saved_, reset);
    return *second_;
  }
  // How many tensors of state the optimizer has.
  static std::size_t optimizer_tensors(const TestRun& run) {
    return run.trainer->optimizer().state_dict().size();
  }

  CheckpointContent saved_;
  std::unique_ptr<TestRun> second_;
  RestoreReport report_;
};

constexpr const char* kRandom = "random numbers (cpu)";

TEST_F(ResetTest, WithoutOneAllIsTaken) {
  const TestRun& run = resumed({});
  EXPECT_EQ(run.trainer->state().progress.update, 4);
  EXPECT_GT(optimizer_tensors(run), 0U);
  EXPECT_EQ(run.trainer->scaler()->current_scale(), 1024);
  EXPECT_EQ(report_.text(),
            "took weights, optimizer, counts, schedule, callbacks, loss scaler, random numbers "
            "(cpu)");
}

TEST_F(ResetTest, AllLeavesTheWeightsAlone) {
  const TestRun& run = resumed({.all = true});
  EXPECT_EQ(run.trainer->state().progress.update, 0);
  EXPECT_EQ(run.trainer->state().progress.epoch, 0);
  EXPECT_EQ(optimizer_tensors(run), 0U);
  EXPECT_EQ(run.trainer->scaler()->current_scale(), 65536);
  const std::vector<at::Tensor> weights = run.weights();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    EXPECT_TRUE(weights[i].equal(saved_.model[i].second));
  }
  EXPECT_THAT(report_.taken, ElementsAre("weights"));
  EXPECT_THAT(report_.left,
              ElementsAre("optimizer", "counts", "schedule", "callbacks", "loss scaler", kRandom));
}

TEST_F(ResetTest, EachLeavesOutItsOwn) {
  {
    const TestRun& run = resumed({.optimizer = true});
    EXPECT_EQ(optimizer_tensors(run), 0U);
    EXPECT_EQ(run.trainer->state().progress.update, 4);
  }
  {
    const TestRun& run = resumed({.counts = true});
    EXPECT_GT(optimizer_tensors(run), 0U);
    EXPECT_EQ(run.trainer->state().progress.update, 0);
  }
  const TestRun& run = resumed({.fp16_scaler = true});
  EXPECT_EQ(run.trainer->scaler()->current_scale(), 65536);
  EXPECT_EQ(run.trainer->state().progress.update, 4);
}

TEST_F(ResetTest, ALossScalerThatOneSideAloneHasIsTold) {
  static_cast<void>(resumed({}, Precision::kFp16, Precision::kFp32));
  EXPECT_THAT(report_.left, ElementsAre("loss scaler"));
  const TestRun& run = resumed({}, Precision::kFp32, Precision::kFp16);
  EXPECT_EQ(run.trainer->scaler()->current_scale(), 65536);
  EXPECT_THAT(report_.missing, ElementsAre("loss scaler"));
  EXPECT_THAT(report_.text(), testing::EndsWith("; not in the checkpoint: loss scaler"));
}

// Of a GPU, and from before the CPU's were saved beside them.
TEST_F(ResetTest, RandomNumbersOfAnotherDeviceAreTold) {
  static_cast<void>(resumed({}));
  for (auto& [name, tensor] : saved_.trainer) {
    if (name == "rng/cpu") name = "rng/cuda";
  }
  report_ = second_->trainer->restore(saved_);
  EXPECT_THAT(report_.taken, testing::Not(testing::Contains(kRandom)));
  EXPECT_THAT(report_.left, ElementsAre("random numbers (cuda)"));
  EXPECT_THAT(report_.missing, ElementsAre(kRandom));
}

}  // namespace
}  // namespace pergola::host
