// SPDX-License-Identifier: BSD-3-Clause
// The hooks of a callback in whole runs, in the order that sdk/include/pergola/callback.h
// documents. What the model does stands between them.
#include "integration/run_test.h"

#include <algorithm>

namespace pergola::test {
namespace {

const std::string kUpdateOfOneBatch =
    " on_update_start on_batch_start training_step on_batch_end on_step_start on_update_end";
const std::string kUpdateOfTwoBatches =
    " on_update_start on_batch_start training_step on_batch_end on_batch_start training_step "
    "on_batch_end on_step_start on_update_end";
const std::string kValidation =
    " on_validation_start on_validation_batch_start validation_step on_validation_batch_end "
    "on_validation_end";
const std::string kBegin = "on_init_start on_init_end on_train_start";
const std::string kComplete = " on_update_complete";
// Three updates with a validation at update 2: one of two batches, one of the epoch's last batch,
// and one of two again, after which the run's last validation comes.
const std::string kTraining = kBegin + kUpdateOfTwoBatches + kComplete + kUpdateOfOneBatch +
                              kValidation + kComplete + kUpdateOfTwoBatches + kValidation +
                              kComplete + " on_train_end";
// After training, of the best weights; val has test's hooks then, too.
const std::string kBestWeights = " on_load_checkpoint";
const std::string kSplitVal =
    " on_test_start on_test_batch_start validation_step on_test_batch_end on_test_end";
const std::string kSplitTest =
    " on_test_start on_test_batch_start test_step on_test_batch_end on_test_end";

// One batch of each split that is evaluated, and epochs of three batches.
class HookOrderTest : public RunTest {
 protected:
  HookOrderTest() {
    write("records_hooks.toml", common_config() + R"(
model = "records_hooks"
training.callbacks = [{ type = "records_hooks", params = { file = "hooks.txt" } }]
training.limit_train_batches = 3
training.limit_val_batches = 1
training.limit_test_batches = 1
training.update_frequency = 2
plugins.path = [")" + fixture_folder("records_hooks").string() +
                                    "\"]\n");
  }
  [[nodiscard]] Result record(const Words& more = {}) const {
    Words words = {"training.max_updates=3", "training.evaluation_interval=2"};
    words.insert(words.end(), more.begin(), more.end());
    return train(words, "records_hooks");
  }
  // That the last run wrote these down, one after the other.
  void expect_hooks(std::string expected) const {
    std::replace(expected.begin(), expected.end(), ' ', '\n');
    EXPECT_EQ(text("hooks.txt"), expected + "\n");
  }
};

// The validation before training calls no hook.
TEST_F(HookOrderTest, OfAWholeRunIsTheDocumentedOne) {
  expect_success(record({"training.num_sanity_val_steps=-1"}));
  expect_hooks(kTraining + kBestWeights + " on_prediction_start" + kSplitVal + kSplitTest +
               " on_prediction_end teardown");
}

TEST_F(HookOrderTest, WithoutPredictionFilesHasTheSplitsAlone) {
  expect_success(record({"evaluation.predict=false", "run_type=train_test"}));
  expect_hooks(kTraining + kBestWeights + kSplitTest + " teardown");
}

TEST_F(HookOrderTest, OfAResumedRunHasTheCheckpointBetweenTheTwoOfInit) {
  expect_success(record({"run_type=train"}));
  expect_hooks(kTraining + " teardown");
  expect_success(record({"run_type=train", "--resume", "training.max_updates=4"}));
  expect_hooks("on_init_start on_load_checkpoint load_state_dict on_init_end on_train_start" +
               kUpdateOfOneBatch + kValidation + kComplete + " on_train_end teardown");
}

struct Failure {
  const char* name;
  const char* step;
  std::string hooks;  // before on_exception
};
void PrintTo(const Failure& failure, std::ostream* stream) { *stream << failure.name; }

class HookOrderOfFailures : public HookOrderTest, public ::testing::WithParamInterface<Failure> {};

TEST_P(HookOrderOfFailures, EndsWithOneOnExceptionAndTeardown) {
  const std::string in = "model_config.records_hooks.throws_in=";
  expect_error(record({in + GetParam().step, "run_type=train_test"}), kPlugin,
               {"the model is broken"});
  expect_hooks(GetParam().hooks + " on_exception teardown");
}

// The last one is outside of training, where the run and not the trainer reports it.
INSTANTIATE_TEST_SUITE_P(
    Steps, HookOrderOfFailures,
    ::testing::Values(Failure{"Training", "training_step",
                              kBegin + " on_update_start on_batch_start training_step"},
                      Failure{"Test", "test_step",
                              kTraining + kBestWeights +
                                  " on_prediction_start on_test_start "
                                  "on_test_batch_start test_step"}),
    [](const auto& param) { return std::string(param.param.name); });

// It is another's than the data set's, whose thread it is called on.
TEST_F(HookOrderTest, WhatPreparingABatchThrowsNamesTheModel) {
  const std::string in = "model_config.records_hooks.throws_in=on_before_batch_transfer";
  const Result result = record({in, "run_type=train", "training.num_workers=2"});
  expect_error(result, kPlugin,
               {"on_before_batch_transfer() of model 'records_hooks' (plugin records_hooks 0.1.0) "
                "failed",
                "the model is broken"});
}

// The model reads what it adds to each batch itself: a sample of its own is in one, too.
TEST_F(HookOrderTest, ASampleThatIsAskedAboutIsPreparedAsABatch) {
  expect_success(record({"run_type=train"}));
  expect_success(pergola({"predict", "--checkpoint", "run", "--text", "what?", "--image",
                          "data/easy_vqa/test/images/1.png", "--plugin-path",
                          fixture_folder("records_hooks").string()}));
}

TEST_F(HookOrderTest, OfACheckpointThatCannotBeLoadedEndsAfterItsStart) {
  expect_success(record({"run_type=train"}));
  const std::string in = "model_config.records_hooks.throws_in=";
  expect_error(record({in + "on_load_checkpoint", "--resume"}), kPlugin, {"the model is broken"});
  expect_hooks("on_init_start on_load_checkpoint on_exception teardown");
}

// Ctrl-C is no failure: the update in hand ends, and the run with it.
TEST_F(HookOrderTest, OfAStoppedRunHasNoOnException) {
  const Result result = record({"model_config.records_hooks.stopped_in=training_step"});
  EXPECT_EQ(result.exit_code, 130) << result;
  expect_hooks(kBegin + kUpdateOfTwoBatches + kComplete + " on_train_end teardown");
}

// They have no training, and callbacks are of it.
TEST_F(HookOrderTest, OfCommandsThatDoNotTrainIsEmpty) {
  expect_success(record({"run_type=train"}));
  std::filesystem::remove(path("hooks.txt"));
  for (const char* command : {"validate", "test", "predict"}) {
    expect_success(pergola({command, "records_hooks.toml", "--run-dir", "run"}));
    EXPECT_FALSE(std::filesystem::exists(path("hooks.txt"))) << command;
  }
  expect_success(record({"run_type=val_test"}));
  EXPECT_FALSE(std::filesystem::exists(path("hooks.txt")));
}

}  // namespace
}  // namespace pergola::test
