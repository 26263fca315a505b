// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/unfreeze_callback.h"

#include "unit/callbacks/captured_log.h"
#include "unit/train/boring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pergola::host {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// `first.*` of the boring model is frozen in the first two updates.
class UnfreezeCallbackTest : public ::testing::Test {
 protected:
  UnfreezeCallback callback() {
    const Duration after{2, Duration::Unit::kUpdates};
    return UnfreezeCallback(
        FreezeSchedule(*model_, {{{"first.*"}, after, "training.unfreeze[0]"}}, 10));
  }
  // Whether `first` is trained in the update after `updates` ones.
  bool trained_after(UnfreezeCallback& callback, std::int64_t updates) {
    state_.progress.update = updates;
    callback.on_update_start(state_);
    return model_->named_parameters()["first.weight"].requires_grad();
  }

  CapturedLog log_;
  Registry registry_ = builtin_registry();
  std::shared_ptr<BoringModel> model_ = make_boring_model(registry_);
  TrainerState state_;
};

TEST_F(UnfreezeCallbackTest, ParametersThawAtTheirUpdate) {
  state_.max_updates = 10;
  UnfreezeCallback unfreeze = callback();
  unfreeze.on_train_start(state_);
  EXPECT_FALSE(trained_after(unfreeze, 0));
  EXPECT_FALSE(trained_after(unfreeze, 1));
  EXPECT_TRUE(trained_after(unfreeze, 2));
  EXPECT_TRUE(trained_after(unfreeze, 3));
  // 2 * 8 weights and 8 biases.
  EXPECT_THAT(log_.lines(),
              ElementsAre("[model] 2 tensors with 24 elements of training.unfreeze[0] are "
                          "frozen in the first 2 updates",
                          "[model] 2 tensors with 24 elements of training.unfreeze[0] are "
                          "trained from update 3 on"));
}

TEST_F(UnfreezeCallbackTest, AResumedRunNeedsNoState) {
  UnfreezeCallback before = callback();
  EXPECT_FALSE(trained_after(before, 1));
  model_ = make_boring_model(registry_);  // another process
  UnfreezeCallback after = callback();
  EXPECT_TRUE(trained_after(after, 2));
}

TEST_F(UnfreezeCallbackTest, WhatNeverThawsIsAWarning) {
  state_.max_updates = 2;
  UnfreezeCallback unfreeze = callback();
  unfreeze.on_train_start(state_);
  EXPECT_THAT(log_.lines().back(),
              HasSubstr("the parameters of training.unfreeze[0] are never trained: "
                        "the run ends at update 2"));
}

}  // namespace
}  // namespace pergola::host
