// SPDX-License-Identifier: BSD-3-Clause
// Predictions that are recorded and replayed: the same outputs, numbers and hooks as without that,
// and what happens where it cannot be.
#include "host/train/recorded_forward.h"

#include "host/data/loader.h"
#include "host/train/batch_parts.h"
#include "host/train/evaluation.h"
#include "host/train/recorded_step.h"
#include "host/train/weight_average.h"
#include "unit/callbacks/captured_log.h"
#include "unit/train/boring.h"
#include "unit/train/fake_recorder.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int kOrdinary = RecordedForward::kOrdinarySteps;

// 50 samples in batches of 4, and one of 2: of the twelve of 4, the last four are replays.
class RecordedForwardTest : public testing::Test {
 protected:
  static constexpr int kWhole = 12;
  static constexpr int kReplays = kWhole - kOrdinary;

  RecordedForwardTest() : metrics_({}, registry_), loader_(data_, loader_options()) {
    start_anew(false);
  }
  static LoaderOptions loader_options() {
    LoaderOptions options;
    options.dataset_name = "boring";
    options.dataset_type = "val";
    options.batch_size = 4;
    options.num_workers = 0;
    return options;
  }
  void start_anew(bool is_required) {
    recorded_ = std::make_unique<RecordedForward>(recorder_, *model_, kCpu,
                                                  RecordedForward::Options{"boring", is_required});
  }

  // All that can be seen of an evaluation.
  struct Seen {
    Numbers numbers;
    std::vector<std::string> hooks;
    std::vector<at::Tensor> scores;  // what the hooks got, kept as it is
    std::vector<at::Tensor> reports;
    std::vector<at::Tensor> losses;
  };
  Seen see(RecordedForward* recorded, Step step, BatchSplitter* splitter) {
    Seen seen;
    EvaluationInput input{*model_, {&loader_}, metrics_, kCpu, step};
    input.splitter = splitter;
    input.recorded = recorded;
    input.hooks.on_batch_start = [&](const SampleList& batch) {
      seen.hooks.push_back("start " + std::to_string(batch.batch_size()));
    };
    input.hooks.on_batch_end = [&](const SampleList& batch, const ModelOutput& output) {
      seen.hooks.push_back("end " + std::to_string(batch.batch_size()));
      seen.scores.push_back(output.scores);
      seen.losses.push_back(output.losses->at("val/boring/logit_bce"));
    };
    seen.numbers = evaluate(
        input, [&](const Report& report) { seen.reports.push_back(report.output.scores); });
    return seen;
  }
  // Evaluates with and without recordings.
  void expect_same(Step step = Step::kValidation, BatchSplitter* splitter = nullptr) {
    const Seen eager = see(nullptr, step, splitter);
    const Seen replayed = see(recorded_.get(), step, splitter);
    EXPECT_EQ(eager.numbers, replayed.numbers);
    EXPECT_EQ(eager.hooks, replayed.hooks);
    for (const auto member : {&Seen::scores, &Seen::reports, &Seen::losses}) {
      ASSERT_EQ((eager.*member).size(), (replayed.*member).size());
      for (std::size_t i = 0; i < (eager.*member).size(); ++i) {
        EXPECT_TRUE((eager.*member)[i].equal((replayed.*member)[i])) << i;
      }
    }
  }
  // Adds to each weight, in its memory.
  void change_weights() {
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : model_->parameters()) parameter.add_(0.1);
  }

  const c10::Device kCpu{c10::kCPU};
  Registry registry_ = builtin_registry();
  std::shared_ptr<BoringModel> model_ = make_boring_model(registry_);
  BoringDataset data_{50};
  MetricList metrics_;
  DataLoader loader_;
  FakeRecorder recorder_;
  std::unique_ptr<RecordedForward> recorded_;
};

TEST_F(RecordedForwardTest, OutputsNumbersAndHooksAreThoseOfStepsThatAreNotRecorded) {
  CapturedLog log;
  expect_same();
  EXPECT_EQ(recorder_.recorded, 1);  // the batch of 2 comes once
  EXPECT_EQ(recorded_->replays(), kReplays);
  EXPECT_EQ(recorder_.replayed, kReplays);
  expect_same();
  EXPECT_EQ(recorder_.recorded, 1);
  EXPECT_EQ(recorded_->replays(), kReplays + kWhole);
  EXPECT_THAT(log.lines(), ElementsAre("[graph] predictions of model 'boring' are replayed"));
}

TEST_F(RecordedForwardTest, AShapeIsRecordedWhenItHasComeOftenEnough) {
  for (int i = 0; i < kOrdinary; ++i) expect_same();
  EXPECT_EQ(recorder_.recorded, 1);
  expect_same();  // its ninth batch of 2
  EXPECT_EQ(recorder_.recorded, 2);
}

TEST_F(RecordedForwardTest, EachHookHasRecordingsOfItsOwn) {
  expect_same(Step::kValidation);
  expect_same(Step::kTest);
  EXPECT_EQ(recorder_.recorded, 2);
  EXPECT_EQ(recorded_->replays(), 2 * kReplays);
}

TEST_F(RecordedForwardTest, WeightsThatChangeInTheirMemoryAreSeen) {
  expect_same();
  const Numbers before = see(recorded_.get(), Step::kValidation, nullptr).numbers;
  change_weights();
  expect_same();
  EXPECT_NE(see(recorded_.get(), Step::kValidation, nullptr).numbers, before);
  EXPECT_EQ(recorder_.recorded, 1);
}

TEST_F(RecordedForwardTest, AveragedWeightsKeepTheirRecordingsAndOthersAreRecordedAnew) {
  WeightAverage average(*model_, EmaConfig{true, 0.5, 0, 1});
  for (int update = 1; update <= 2; ++update) {
    change_weights();
    average.update(update);
    const auto use = average.use();
    expect_same();
  }
  EXPECT_EQ(recorder_.recorded, 1);  // the averages are put in place from the same memory
  EXPECT_EQ(recorded_->replays(), kReplays + kWhole);
  expect_same();  // the model's own
  EXPECT_EQ(recorder_.recorded, 2);
  EXPECT_EQ(recorded_->replays(), kReplays + kWhole + kReplays);
}

TEST_F(RecordedForwardTest, WhatCannotBeRecordedIsToldOnceAndChangesNoNumber) {
  recorder_.failing = {1};
  CapturedLog log;
  expect_same();
  expect_same();
  EXPECT_EQ(recorder_.asked, 1);
  EXPECT_EQ(recorded_->replays(), 0);
  EXPECT_THAT(log.lines(), ElementsAre("[graph] predictions of model 'boring' are not recorded: "
                                       "CUDA error: not while a stream is capturing; they are the "
                                       "same, but slower"));
}

TEST_F(RecordedForwardTest, WhatWasToldOfUpdatesIsNotToldOfPredictions) {
  recorder_.note_told();
  recorder_.failing = {1};
  CapturedLog log;
  expect_same();
  EXPECT_EQ(recorder_.asked, 1);
  EXPECT_THAT(log.lines(), ElementsAre());
}

// In a training, and in the evaluation after it.
TEST_F(RecordedForwardTest, WhatWasToldOfPredictionsIsNotToldAgain) {
  recorder_.failing = {1, 2};
  CapturedLog log;
  expect_same();
  start_anew(/*is_required=*/false);
  expect_same();
  EXPECT_EQ(recorder_.asked, 2);
  EXPECT_EQ(log.lines().size(), 1U);
}

TEST_F(RecordedForwardTest, WhatCannotBeRecordedIsAWarningWhereItIsRequired) {
  start_anew(/*is_required=*/true);
  recorder_.failing = {1};
  CapturedLog log;
  expect_same();
  EXPECT_THAT(log.warnings(),
              ElementsAre("[graph] predictions of model 'boring' are not recorded: CUDA error: not "
                          "while a stream is capturing; they are the same, but slower than "
                          "training.cuda_graphs = true wants them"));
}

TEST_F(RecordedForwardTest, ABatchThatIsWorkedOnInPartsIsNotRecorded) {
  BatchSplitter splitter(*model_, kCpu);
  expect_same(Step::kValidation, &splitter);
  EXPECT_EQ(recorded_->replays(), kReplays);
  splitter.set_most_samples(2);
  expect_same(Step::kValidation, &splitter);  // the batch of 2 is whole, and its second
  EXPECT_EQ(recorded_->replays(), kReplays);
}

TEST_F(RecordedForwardTest, PausedPredictionsAreDoneOperationByOperation) {
  expect_same();
  recorded_->pause(true);
  expect_same();
  EXPECT_EQ(recorded_->replays(), kReplays);
  recorded_->pause(false);
  expect_same();
  EXPECT_EQ(recorded_->replays(), kReplays + kWhole);
}

// Without evaluate(): batches of any shape, and work that always writes into one tensor, as that of
// a graph does.
class RecordedWorkTest : public RecordedForwardTest {
 protected:
  static SampleList batch_of(std::int64_t samples, double value) {
    SampleList batch;
    batch.add_field("x", at::full({samples}, value));
    batch.set_dataset("boring", "test");
    return batch;
  }
  ModelOutput run(const SampleList& batch, RecordedForward::Output output) {
    return recorded_->run(batch, Hook{.name = "test_step()"}, work_, output);
  }

  const at::Tensor written_ = at::zeros({1});
  const RecordedForward::Work work_ = [written = written_](const SampleList& batch) {
    written.resize_({batch.batch_size()}).copy_(batch.tensor("x"));
    ModelOutput output;
    output.scores = written;
    output.losses = LossMap{{"loss", written}};
    output.fields = {{"field", written}, {"none", at::Tensor()}};
    return output;
  };
};

TEST_F(RecordedWorkTest, WhatACallerMayKeepIsItsOwn) {
  for (int i = 0; i < kOrdinary; ++i) {
    static_cast<void>(run(batch_of(1, 0), RecordedForward::Output::kOwn));
  }
  const ModelOutput kept = run(batch_of(1, 7), RecordedForward::Output::kOwn);
  const ModelOutput shared = run(batch_of(1, 8), RecordedForward::Output::kShared);
  EXPECT_EQ(recorded_->replays(), 2);
  EXPECT_TRUE(shared.scores.is_same(written_));
  EXPECT_EQ(written_.item<float>(), 8);
  for (const at::Tensor& tensor : {kept.scores, kept.losses->at("loss"), kept.fields.at("field")}) {
    EXPECT_EQ(tensor.item<float>(), 7);
  }
  EXPECT_FALSE(kept.fields.at("none").defined());
}

TEST_F(RecordedWorkTest, SixteenShapesAreRecordedAndOthersAreToldOnce) {
  CapturedLog log;
  for (int i = 0; i < kOrdinary + 2; ++i) {
    for (std::int64_t samples = 1; samples <= 18; ++samples) {
      const ModelOutput output = run(batch_of(samples, i), RecordedForward::Output::kShared);
      ASSERT_TRUE(output.scores.equal(at::full({samples}, 1.0 * i)));
    }
  }
  EXPECT_EQ(recorder_.recorded, 16);
  EXPECT_EQ(RecordedStep::kMostShapes, 16U);
  EXPECT_EQ(recorded_->replays(), 2 * 16);
  EXPECT_THAT(log.lines(), ElementsAre("[graph] predictions of model 'boring' are replayed",
                                       "[graph] predictions of 16 shapes of batches are recorded; "
                                       "those of further shapes are not"));
}

TEST_F(RecordedWorkTest, ABatchOfOtherThanTensorsIsTold) {
  SampleList batch = batch_of(1, 0);
  batch.add_field("boxes", std::vector<at::Tensor>{at::ones({2})});
  CapturedLog log;
  for (int i = 0; i < kOrdinary; ++i) {
    static_cast<void>(run(batch, RecordedForward::Output::kShared));
  }
  EXPECT_THAT(log.lines(), IsEmpty());
  static_cast<void>(run(batch, RecordedForward::Output::kShared));
  EXPECT_EQ(recorder_.asked, 0);
  EXPECT_THAT(log.lines(), ElementsAre("[graph] predictions of model 'boring' are not recorded: of "
                                       "a batch, its field 'boxes' is a list of tensors; they are "
                                       "the same, but slower"));
}

}  // namespace
}  // namespace pergola::host
