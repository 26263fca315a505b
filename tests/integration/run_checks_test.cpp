// SPDX-License-Identifier: BSD-3-Clause
// What a run is refused for before it touches its folder.
#include "integration/run_test.h"

namespace pergola::test {
namespace {

using ::testing::HasSubstr;

class CriteriaTest : public RunTest {
 protected:
  [[nodiscard]] Result train_for(const std::string& criteria) const {
    return train({"training.max_updates=2", "training.evaluation_interval=2",
                  "training.early_stop.criteria=" + criteria});
  }
};

TEST_F(CriteriaTest, NameThatIsNearlyOneOfTheValidationsIsRefusedAtOnce) {
  expect_error(train_for("easy_vqa/cross_entrpy"), kConfig,
               {"training.early_stop.criteria asks for val/easy_vqa/cross_entrpy",
                "did you mean 'val/easy_vqa/cross_entropy'?"});
  EXPECT_EQ(metrics().size(), 0U);
}

TEST_F(CriteriaTest, NameThatIsLikeNoneIsRefusedAtOnceToo) {
  expect_error(train_for("easy_vqa/of_the_model"), kConfig,
               {"training.early_stop.criteria asks for val/easy_vqa/of_the_model",
                "known are val/easy_vqa/accuracy, "});
  EXPECT_EQ(metrics().size(), 0U);
}

TEST_F(CriteriaTest, PartThatALossDoesNotHaveIsRefusedAtOnceToo) {
  expect_error(train_for("easy_vqa/cross_entropy/smooth"), kConfig,
               {"training.early_stop.criteria asks for val/easy_vqa/cross_entropy/smooth",
                "which the validation does not have", "val/easy_vqa/cross_entropy"});
  EXPECT_EQ(metrics().size(), 0U);
}

// One batch of the validation is tried before anything is learned.
class FirstValidationTest : public RunTest {
 protected:
  [[nodiscard]] Result train_on_dots(const Words& more) const {
    Words words = {"--plugin-path", fixture_folder("own_data").string(), "dataset=dots",
                   "training.max_updates=2", "run_type=train"};
    words.insert(words.end(), more.begin(), more.end());
    return train(words);
  }
};

TEST_F(FirstValidationTest, LossThatDoesNotFitTheScoresIsToldAtOnce) {
  expect_error(train_on_dots({"model_config.boring.losses=[\"bce\"]"}), kNan,
               {"not a finite number in the first validation batch, before any training: ",
                "val/dots/bce", "bce needs probabilities, logit_bce any scores"});
  EXPECT_EQ(metrics().size(), 0U);
}

TEST_F(FirstValidationTest, NotFiniteIsTrainedOnWhenTheConfigSaysSo) {
  expect_success(
      train_on_dots({"model_config.boring.losses=[\"bce\"]", "training.exit_on_nan_losses=false"}));
}

TEST_F(FirstValidationTest, MetricThatDoesNotFitTheDataIsRefusedAtOnce) {
  expect_error(train({"evaluation.metrics=[\"f1\"]"}), kData,
               {"f1 with average = \"binary\" takes two classes, but the model's scores have 6"});
  EXPECT_EQ(metrics().size(), 0U);
}

TEST_F(FirstValidationTest, PartsOfALossAreCriteriaAndTheirLossIsNot) {
  const Words losses = {
      "model_config.boring.losses=[{type=\"bce_kl\", params={weight_softmax=1.0}}]"};
  Words whole = losses;
  whole.emplace_back("training.early_stop.criteria=dots/bce_kl");
  expect_error(
      train_on_dots(whole), kConfig,
      {"asks for val/dots/bce_kl, which the validation does not have", "val/dots/bce_kl/kl"});
  Words part = losses;
  part.emplace_back("training.early_stop.criteria=dots/bce_kl/kl");
  expect_success(train_on_dots(part));
}

TEST_F(FirstValidationTest, EmptySplitIsToldOnceAndTheLastCheckpointIsEvaluated) {
  const Result result =
      train_on_dots({"dataset_config.dots.val_samples=0", "run_type=train_val_test",
                     "training.evaluation_interval=1", "evaluation.metrics=[\"accuracy\"]"});
  expect_success(result);
  const std::string warning = "warning: [run] there is nothing to measure in the validation";
  EXPECT_THAT(result.err,
              HasSubstr(warning + ", and so no best checkpoint: the val split of data set dots is "
                                  "empty; after training the last checkpoint is evaluated\n"));
  EXPECT_EQ(result.err.find("warning: "), result.err.rfind("warning: "));
  EXPECT_EQ(text("run/checkpoints/best/state.json"), "");
  EXPECT_FALSE(json("run/summary.json").contains("best"));
  EXPECT_TRUE(json("run/summary.json").at("metrics").contains("test/dots/accuracy"));
  EXPECT_EQ(metrics().back().at("checkpoint"), "last");
}

// One sample of the validation is of one class: its ROC has no area.
TEST_F(FirstValidationTest, CriterionThatIsNeverANumberIsToldAndTheLastCheckpointIsEvaluated) {
  const Result result =
      train_on_dots({"dataset_config.dots.val_samples=1", "run_type=train_test",
                     "training.evaluation_interval=1", "evaluation.metrics=[\"macro_roc_auc\"]",
                     "training.early_stop.criteria=dots/macro_roc_auc"});
  expect_success(result);
  EXPECT_THAT(
      result.err,
      HasSubstr("warning: [checkpoint] val/dots/macro_roc_auc is nan in the validation at "
                "update 1, which makes no best checkpoint; let training.early_stop.criteria "
                "name another number of the validation, such as "));
  EXPECT_EQ(result.err.find("warning: "), result.err.rfind("warning: "));
  EXPECT_THAT(result.err, HasSubstr("[checkpoint] there is no best checkpoint: no validation had "
                                    "a finite val/dots/macro_roc_auc; the last one, of update 2"));
  EXPECT_EQ(metrics().back().at("checkpoint"), "last");
}

TEST_F(FirstValidationTest, WhatIsForOtherDataSetsIsTold) {
  const Result result = train_on_dots(
      {"model_config.boring.losses=[\"logit_bce\", {type=\"mse\", datasets=[\"dot\"]}]",
       "evaluation.metrics=[\"accuracy\", {type=\"f1\", datasets=[\"vqa2\"]}]"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("loss 'mse' (model_config.boring.losses[1] (command line)) is "
                                    "for data set dot alone and has no part in this run"));
  EXPECT_THAT(result.err,
              HasSubstr("metric 'f1' (evaluation.metrics[1] (command line)) is for data "
                        "set vqa2 alone"));
}

class RateTest : public RunTest {};

TEST_F(RateTest, ScheduleThatLeavesFloatBehindIsNamedWithItsUpdate) {
  expect_error(train({"training.lr_scheduler=true", "scheduler.type=exponential",
                      "scheduler.params={gamma=1e200}"}),
               kConfig,
               {"scheduler 'exponential' makes the learning rate of update 2 ",
                "1e+200 times optimizer.params.lr; expected at most 1e+15: check "
                "scheduler.params"});
}

class CallbackNamesTest : public RunTest {};

TEST_F(CallbackNamesTest, NameOfOneOfTheHostsIsRefused) {
  for (const char* name : {"logging", "progress", "checkpoint"}) {
    expect_error(
        train({"training.callbacks=[\"" + std::string(name) + "\"]"}), kConfig,
        {"training.callbacks[0]", "callback '" + std::string(name) + "' has the name of one",
         "that the host always adds"});
  }
}

TEST_F(CallbackNamesTest, NameThatIsListedTwiceIsRefused) {
  expect_error(train({"training.callbacks=[\"own\", \"own\"]"}), kConfig,
               {"training.callbacks[1]", "names the callback 'own' a second time; name it once"});
}

// What an exact continuation needs.
class ContinuationTest : public RunTest {
 protected:
  void expect_refused(Words more, const Words& parts) {
    const std::vector<std::string> before = contents();
    more.emplace_back("--resume");
    expect_error(train(more), kCheckpoint, parts);
    EXPECT_EQ(contents(), before);
  }
  [[nodiscard]] std::vector<std::string> contents() const {
    std::vector<std::string> all;
    for (const char* file : {"run/config.toml", "run/summary.json", "run/metrics.jsonl"}) {
      all.push_back(text(file));
    }
    all.push_back(text(weights()));
    return all;
  }
};

TEST_F(ContinuationTest, OtherSamplesInAnUpdateAreRefusedWithEachValue) {
  expect_success(train({"training.max_updates=3", "run_type=train"}));
  expect_refused(
      {"training.batch_size=4"},
      {"the run cannot be continued exactly with training.batch_size = 4 (it was 8); "
       "resume it with the old values, or begin another run, in a folder of its own, from "
       "its weights: checkpoint.resume_file with checkpoint.reset.all = true"});
  expect_refused({"training.seed=7", "training.update_frequency=2"},
                 {"training.update_frequency = 2 (it was 1), training.seed = 7 (it was 1234)"});
}

// It wins over batch_size.
TEST_F(ContinuationTest, AnotherBatchSizeOfTheDeviceIsRefused) {
  const std::string own = "training.batch_size_per_device=";
  expect_success(train({own + "4", "training.max_updates=3", "run_type=train"}));
  expect_refused({own + "16", "run_type=train"},
                 {"training.batch_size_per_device = 16 (it was 4)"});
  expect_refused({"run_type=train"}, {"training.batch_size = 8 (it was 4)"});
  expect_success(train({"training.batch_size=4", "--resume", "run_type=train"}));
}

TEST_F(ContinuationTest, AnotherOptimizerIsRefused) {
  expect_success(train({"training.max_updates=3", "run_type=train"}));
  expect_refused({"optimizer={type=\"sgd\", params={lr=0.1}}"},
                 {"optimizer.type = \"sgd\" (it was \"adamw\")"});
}

TEST_F(ContinuationTest, AnotherScheduleIsRefusedAndSoIsOneThatComesOrGoes) {
  const Words step = {"training.lr_scheduler=true", "scheduler.type=step",
                      "scheduler.params={step_size=2}", "run_type=train"};
  Words first = step;
  first.emplace_back("training.max_updates=3");
  expect_success(train(first));
  expect_refused({"run_type=train"}, {"training.lr_scheduler = false (it was true)"});
  expect_refused({"training.lr_scheduler=true", "scheduler.type=exponential",
                  "scheduler.params={gamma=0.9}", "scheduler.interval=epoch"},
                 {"scheduler.type = \"exponential\" (it was \"step\"), scheduler.interval = "
                  "\"epoch\" (it was \"update\")"});
  Words same = step;
  same.insert(same.end(), {"--resume", "scheduler.params.gamma=0.5"});
  expect_success(train(same));
}

TEST_F(ContinuationTest, ScheduleThatDoesNotCountMayBeAnother) {
  expect_success(train({"training.max_updates=3", "run_type=train"}));
  expect_refused({"training.lr_scheduler=true"}, {"training.lr_scheduler = true (it was false)"});
  expect_success(train({"--resume", "scheduler.type=step", "scheduler.interval=epoch"}));
}

TEST_F(ContinuationTest, MomentumThatComesOrGoesIsRefused) {
  const auto sgd = [](const std::string& params) {
    return Words{"optimizer={type=\"sgd\", params={lr=0.1" + params + "}}", "run_type=train"};
  };
  Words first = sgd("");
  first.emplace_back("training.max_updates=3");
  expect_success(train(first));
  expect_refused(sgd(", momentum=0.9"), {"optimizer.params.momentum = 0.9 (it was 0)"});
}

TEST_F(ContinuationTest, OtherFrozenParametersAreRefused) {
  expect_success(train({"training.max_updates=3", "run_type=train"}));
  expect_refused({"training.freeze=[\"words.*\"]"},
                 {"training.freeze = [\"words.*\"] (it was [])"});
}

TEST_F(ContinuationTest, AnotherSizeOfTheTrainingSplitIsRefused) {
  const Words dots = {"--plugin-path", fixture_folder("own_data").string(), "run_type=train",
                      "dataset=dots"};
  Words first = dots;
  first.insert(first.end(), {"training.max_updates=3", "dataset_config.dots.samples=40"});
  expect_success(train(first));
  Words second = dots;
  second.emplace_back("dataset_config.dots.samples=24");
  expect_refused(second, {"the number of training samples = 24 (it was 40)"});
}

// The number of training samples stays, but they are others: 12 of 24 images.
TEST_F(ContinuationTest, AnotherDivisionOfTrainIsRefused) {
  const std::string division = "dataset_config.easy_vqa.split_train=";
  expect_success(train({division + "{val = 0.25, test = 0.25, seed = 7}", "training.max_updates=3",
                        "run_type=train"}));
  expect_refused({division + "{val = 0.375, test = 0.125, seed = 8}", "run_type=train"},
                 {"dataset_config.easy_vqa.split_train.val = 0.375 (it was 0.25), "
                  "dataset_config.easy_vqa.split_train.test = 0.125 (it was 0.25), "
                  "dataset_config.easy_vqa.split_train.seed = 8 (it was 7); resume it"});
  expect_success(
      train({"--resume", division + "{val = 0.25, test = 0.25, seed = 7}", "run_type=train"}));
}

TEST_F(ContinuationTest, AnotherDataSetIsRefused) {
  expect_success(train({"training.max_updates=3", "run_type=train"}));
  expect_refused(
      {"--plugin-path", fixture_folder("own_data").string(), "dataset=dots", "run_type=train"},
      {"dataset = \"dots\" (it was \"easy_vqa\")"});
}

TEST_F(ContinuationTest, WhatDoesNotChangeAnUpdateMayChange) {
  expect_success(train({"training.max_updates=3", "run_type=train"}));
  expect_success(train({"--resume", "training.max_epochs=1", "training.log_interval=2",
                        "training.checkpoint_interval=2", "training.num_workers=2", "--device",
                        "auto", "optimizer.params.lr=0.001"}));
}

TEST_F(ContinuationTest, AnotherFileOfThePluginIsAWarning) {
  write("plugins/good.so", read_file(fixture_plugin("good")));
  const Words words = {"plugins.path=[]", "--plugin-path", "plugins", "run_type=train"};
  Words first = words;
  first.emplace_back("training.max_updates=2");
  expect_success(train(first));
  replace("plugins/good.so", read_file(fixture_plugin("good")) + "rebuilt");
  Words second = words;
  second.emplace_back("--resume");
  const Result resumed = train(second);
  expect_success(resumed);
  EXPECT_THAT(resumed.err, HasSubstr("warning: [resume] the plugin "));
  EXPECT_THAT(resumed.err, HasSubstr("good.so is another file than the one that the run began"));
  EXPECT_EQ(json("run/summary.json").at("updates"), 12);
}

}  // namespace
}  // namespace pergola::test
