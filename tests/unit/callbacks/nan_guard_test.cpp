// SPDX-License-Identifier: BSD-3-Clause
#include "fixtures/temp_folder.h"
#include "host/callbacks/nan_guard_callback.h"
#include "host/checkpoint/safetensors.h"
#include "host/device/waiting_operations.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "host/train/meter.h"
#include "unit/callbacks/captured_log.h"
#include "unit/callbacks/hook_driver.h"
#include "unit/support/error_of.h"
#include "unit/support/non_finite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using ::pergola::test::error_of;
using test::kInf;
using test::kNan;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Two of its three losses.
LossMap bad_losses() {
  return {{"train/boring/a", torch::tensor(kNan)},
          {"train/boring/b", torch::tensor(1.0)},
          {"train/boring/c", torch::tensor({1.0, -kInf})}};
}

class NanGuardTest : public ::testing::Test {
 protected:
  NanGuardTest() {
    driver_.state.run_dir = folder_.path();
    driver_.state.max_updates = 100;
  }

  static NanGuardOptions skipping(std::int64_t limit = 10) {
    NanGuardOptions options;
    options.config.action = GuardAction::kSkip;
    options.config.limit = limit;
    return options;
  }
  // What an update with bad_losses() says that ends the run.
  std::string stop_of(NanGuardCallback& guard) {
    return error_of([&] { driver_.update_with(guard, {bad_losses()}); }, ErrorKind::kNan);
  }

  fixtures::TempFolder folder_;
  CapturedLog log_;
  HookDriver driver_;
};

TEST_F(NanGuardTest, StopNamesTheLossesAndTheUpdate) {
  NanGuardCallback guard({});
  EXPECT_FALSE(driver_.update(guard, {0.5, 0.25}));
  EXPECT_EQ(
      stop_of(guard),
      concat("not a finite number at update 2: train/boring/a, train/boring/c", kNotFiniteAdvice));
}

TEST_F(NanGuardTest, SkipIsAskedForOnceAnUpdateWithOneWarning) {
  NanGuardCallback guard(skipping());
  EXPECT_TRUE(driver_.update(guard, {kNan, 1.0, kInf}));
  EXPECT_FALSE(driver_.update(guard, {1.0}));
  EXPECT_THAT(log_.warnings(), ElementsAre("[nan] update 1 is skipped: not a finite number: "
                                           "train/boring/own (1 in a row, at most 10)"));
}

TEST_F(NanGuardTest, MoreSkipsInARowThanTheLimitStop) {
  NanGuardCallback guard(skipping(/*limit=*/2));
  EXPECT_TRUE(driver_.update(guard, {kNan}));
  EXPECT_TRUE(driver_.update(guard, {kNan}));
  EXPECT_FALSE(driver_.update(guard, {1.0}));  // the row begins anew
  EXPECT_TRUE(driver_.update(guard, {kNan}));
  EXPECT_TRUE(driver_.update(guard, {kNan}));
  EXPECT_EQ(stop_of(guard),
            concat("not a finite number at update 6: train/boring/a, train/boring/c, after 2 "
                   "skipped updates in a row, which is training.nan_guard.limit",
                   kNotFiniteAdvice));
}

TEST_F(NanGuardTest, TheRowGoesOnInAResumedRun) {
  NanGuardCallback first(skipping(/*limit=*/2));
  driver_.update(first, {kNan});
  driver_.update(first, {kNan});
  EXPECT_EQ(first.state_dict(), Value(Value::Table{{"skipped", 2}, {"skipped_in_row", 2}}));
  NanGuardCallback second(skipping(/*limit=*/2));
  second.load_state_dict(first.state_dict());
  EXPECT_THAT(stop_of(second), HasSubstr("after 2 skipped updates in a row"));
}

TEST_F(NanGuardTest, GradientsThatAreNotFiniteCountAsLossesDo) {
  NanGuardCallback skipping_guard(skipping());
  EXPECT_TRUE(driver_.update(skipping_guard, {1.0}, kInf));
  EXPECT_FALSE(driver_.update(skipping_guard, {1.0}, 7.0));
  NanGuardCallback guard({});
  const std::string message =
      error_of([&] { driver_.update(guard, {1.0}, kNan); }, ErrorKind::kNan);
  EXPECT_THAT(message, HasSubstr("not a finite number at update 3: the norm of the gradients; "));
}

// With fp16 they overflow now and then, and the scaler skips the step.
TEST_F(NanGuardTest, GradientsAreTheScalersWhereThereIsOne) {
  NanGuardOptions options;
  options.checks_gradients = false;
  NanGuardCallback guard(options);
  EXPECT_FALSE(driver_.update(guard, {1.0}, kInf));
}

TEST_F(NanGuardTest, OnAGpuARunThatIsToStopReadsLossesAtLogLinesAlone) {
  NanGuardOptions options;
  options.device = c10::Device(c10::kCUDA, 0);
  options.log_interval = 3;
  NanGuardCallback guard(options);
  const ::pergola::host::WaitingOperations watch;
  driver_.update(guard, {kNan}, kNan);
  driver_.update(guard, {kNan}, kNan);
  EXPECT_THAT(watch.counts(), IsEmpty());
  EXPECT_THAT(stop_of(guard), HasSubstr("not a finite number at update 3"));
}

TEST_F(NanGuardTest, OnAGpuARunThatSkipsReadsEveryBatch) {
  NanGuardOptions options = skipping();
  options.device = c10::Device(c10::kCUDA, 0);
  options.log_interval = 50;
  NanGuardCallback guard(options);
  EXPECT_TRUE(driver_.update(guard, {1.0, kNan}));
}

TEST_F(NanGuardTest, WhatMadeTheFirstNanIsToldWithTheLosses) {
  NanGuardOptions options = skipping(/*limit=*/1);
  options.anomaly = [] { return "training_step() made a NaN; it was aten::log"; };
  NanGuardCallback guard(options);
  EXPECT_TRUE(driver_.update_with(guard, {bad_losses()}));
  EXPECT_THAT(log_.warnings(),
              ElementsAre("[nan] update 1 is skipped: not a finite number: train/boring/a, "
                          "train/boring/c; training_step() made a NaN; it was aten::log (1 in a "
                          "row, at most 1)"));
  EXPECT_THAT(stop_of(guard), HasSubstr("not a finite number at update 2: train/boring/a, "
                                        "train/boring/c; training_step() made a NaN; it was "
                                        "aten::log, after 1 skipped updates in a row"));
}

// The loss says nothing of it; of which batch it is, the watch does know.
TEST_F(NanGuardTest, AnAnomalyOfAGradientIsSavedAndStopsTheRun) {
  NanGuardOptions options;
  options.anomaly = [] { return "the backward pass made a NaN"; };
  NanGuardCallback guard(options);
  EXPECT_THAT(error_of([&] { driver_.update(guard, {1.0}); }, ErrorKind::kNan),
              HasSubstr("not a finite number at update 1: a gradient; the backward pass made a "
                        "NaN; look for"));
  const std::string file = (folder_.path() / "nan_batches/update_00000001.json").string();
  const Value facts = from_json(read_file(file, ErrorKind::kData), file);
  EXPECT_EQ(facts.find("anomaly")->as_string(), "the backward pass made a NaN");
  EXPECT_EQ(*facts.find("not_finite"), Value(Value::Array{"a gradient"}));
}

TEST_F(NanGuardTest, TheBatchIsSavedWithItsLossesAndStrings) {
  NanGuardCallback guard({});
  driver_.update(guard, {1.0});
  static_cast<void>(stop_of(guard));
  const fs::path stem = folder_.path() / "nan_batches/update_00000002";
  const StateDict tensors = read_safetensors(stem.string() + ".safetensors");
  ASSERT_EQ(tensors.size(), 1U);
  EXPECT_EQ(tensors[0].first, "x");
  EXPECT_TRUE(tensors[0].second.equal(driver_.batch.tensor("x")));
  const std::string file = stem.string() + ".json";
  const Value facts = from_json(read_file(file, ErrorKind::kData), file);
  EXPECT_EQ(facts.find("update")->as_integer(), 2);
  EXPECT_EQ(facts.find("batch_in_epoch")->as_integer(), 1);  // the second
  EXPECT_EQ(facts.find("losses")->as_table().at("train/boring/a"), Value("nan"));
  EXPECT_EQ(facts.find("losses")->as_table().at("train/boring/b"), Value(1.0));
  EXPECT_EQ(facts.find("losses")->as_table().at("train/boring/c"), Value("-inf"));
  EXPECT_EQ(*facts.find("not_finite"), Value(Value::Array{"train/boring/a", "train/boring/c"}));
  EXPECT_EQ(*facts.find("strings.id"), Value(Value::Array{"a", "b"}));
  EXPECT_EQ(facts.find("dataset")->as_string(), "boring");
}

TEST_F(NanGuardTest, AFewBatchesAreSavedAndNoMore) {
  NanGuardCallback guard(skipping(/*limit=*/100));
  for (int i = 0; i < 10; ++i) driver_.update(guard, {kNan});
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder_.path() / "nan_batches")) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  EXPECT_THAT(names, ElementsAre("update_00000001.json", "update_00000001.safetensors",
                                 "update_00000002.json", "update_00000002.safetensors",
                                 "update_00000003.json", "update_00000003.safetensors"));
}

TEST_F(NanGuardTest, NoBatchIsSavedWhereThatIsOff) {
  NanGuardOptions options;
  options.config.save_batch = false;
  NanGuardCallback guard(options);
  static_cast<void>(stop_of(guard));
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST_F(NanGuardTest, ABatchThatCannotBeSavedHidesNothing) {
  driver_.state.run_dir = folder_.path() / "file";
  write_file_atomic(driver_.state.run_dir, "");
  NanGuardCallback guard({});
  EXPECT_THAT(stop_of(guard), HasSubstr("not a finite number at update 1"));
  EXPECT_THAT(log_.warnings(), ElementsAre(HasSubstr("[nan] the batch is not saved: cannot ")));
}

}  // namespace
}  // namespace pergola::host
