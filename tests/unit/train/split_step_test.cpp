// SPDX-License-Identifier: BSD-3-Clause
// What a SplitStep asks of who trains, where memory runs out.
#include "host/train/split_step.h"

#include "host/model/guard.h"
#include "unit/train/boring.h"

#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pergola::host {
namespace {

using testing::ElementsAre;

class SplitStepTest : public testing::Test {
 protected:
  SplitStepTest() {
    SplitStep::Work work;
    work.pass = [this](const SampleList& part, std::int64_t batch_idx, double divisor) {
      const std::int64_t size = part.batch_size();
      calls_.push_back(concat("pass of ", size, " in batch ", batch_idx, " / ", divisor));
      if (size > fits_) throw OutOfMemory(ErrorKind::kUnexpected, "no memory");
      StepResult result;
      result.output.scores = part.tensor("x") + at::rand({}).item<double>();
      result.means.samples = size;
      return result;
    };
    work.take = [this](const StepResult& result) {
      calls_.push_back(concat("take ", result.means.samples));
    };
    work.restart = [this] { calls_.push_back("restart"); };
    work.drop_recordings = [this] { return std::exchange(is_recorded_, false); };
    step_ = std::make_unique<SplitStep>(*model_, at::kCPU, std::move(work));
  }

  // Micro-batch `number` of two, of 4 samples.
  bool run(std::int64_t number, std::int64_t group_size = 2) {
    SampleList batch;
    batch.add_field("x", torch::arange(4).to(torch::kDouble));
    return step_->run(batch, {number, group_size, 10 + number}, [this] {
      calls_.push_back("whole");
      draws_.push_back(at::rand({}).item<double>());
      if (fits_ < 4 || is_recorded_) throw OutOfMemory(ErrorKind::kUnexpected, "no memory");
    });
  }

  Registry registry_ = builtin_registry();
  std::shared_ptr<BoringModel> model_ = make_boring_model(registry_);
  std::unique_ptr<SplitStep> step_;
  std::int64_t fits_ = 4;
  bool is_recorded_ = false;
  std::vector<std::string> calls_;
  std::vector<double> draws_;  // of each whole batch
};

TEST_F(SplitStepTest, BatchesThatFitAreWorkedOnAsAWhole) {
  EXPECT_FALSE(run(0));
  EXPECT_FALSE(run(1));
  EXPECT_THAT(calls_, ElementsAre("whole", "whole"));
  EXPECT_EQ(step_->most_samples(), 0);
}

// A part of 2 of 4 samples, in one of two batches, is a quarter of the update.
TEST_F(SplitStepTest, AShortageInALaterBatchRepeatsTheUpdateInParts) {
  EXPECT_FALSE(run(0));
  fits_ = 2;
  EXPECT_TRUE(run(1));
  EXPECT_THAT(calls_,
              ElementsAre("whole", "whole", "restart", "pass of 2 in batch 10 / 4", "take 2",
                          "pass of 2 in batch 10 / 4", "take 2", "pass of 2 in batch 11 / 4",
                          "take 2", "pass of 2 in batch 11 / 4", "take 2"));
  EXPECT_EQ(step_->output().scores.size(0), 4);
  calls_.clear();
  EXPECT_TRUE(run(0, /*group_size=*/1));  // of the next update: in parts from the start
  EXPECT_THAT(calls_, ElementsAre("restart", "pass of 2 in batch 10 / 2", "take 2",
                                  "pass of 2 in batch 10 / 2", "take 2"));
}

TEST_F(SplitStepTest, TheRandomNumbersOfTheUpdateAreDrawnAgain) {
  fits_ = 2;
  torch::manual_seed(3);
  EXPECT_TRUE(run(0));
  // The first part adds what the whole batch had drawn first.
  EXPECT_DOUBLE_EQ(step_->output().scores[0].item<double>(), draws_.at(0));
}

TEST_F(SplitStepTest, RecordingsAreGivenUpBeforeABatchIsHalved) {
  is_recorded_ = true;
  EXPECT_TRUE(run(0, /*group_size=*/1));
  EXPECT_THAT(calls_, ElementsAre("whole", "restart", "pass of 4 in batch 10 / 1", "take 4"));
  EXPECT_EQ(step_->most_samples(), 0);
}

// 1 PiB a sample: no part fits either, and nothing is computed.
TEST_F(SplitStepTest, AShortageInTheCopyOfABatchIsOneOfItsUpdate) {
  SampleList huge;
  huge.add_field("x", torch::empty({4, std::int64_t{1} << 50},
                                   torch::dtype(torch::kByte).device(torch::kMeta)));
  const SampleList batch = step_->to_device(huge);
  EXPECT_THROW(step_->run(batch, {0, 1, 10}, [this] { calls_.push_back("whole"); }), OutOfMemory);
  EXPECT_THAT(calls_, ElementsAre("restart", "restart"));  // with parts of 2, and of 1
  EXPECT_EQ(step_->most_samples(), 1);
}

TEST_F(SplitStepTest, WhatDoesNotFitAloneIsThrown) {
  fits_ = 0;
  EXPECT_THROW(run(0), OutOfMemory);
  EXPECT_EQ(step_->most_samples(), 1);
}

}  // namespace
}  // namespace pergola::host
