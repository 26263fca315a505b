// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/run_config.h"

#include "host/support/log.h"
#include "unit/config/config_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class RunConfigTest : public ConfigFixture {
 protected:
  void SetUp() override { write_run("optimizer = {type = \"adamw\", params = {lr = 0.5}}"); }
  void TearDown() override { set_log_sink(nullptr); }

  [[nodiscard]] RunConfig parse(const std::vector<std::string>& overrides = {}) const {
    const Config root = resolve(overrides);
    RunConfig config = RunConfig::parse(root);
    config.warn_of_no_effect(root);
    return config;
  }
  [[nodiscard]] std::string parse_complaint(const std::vector<std::string>& overrides) const {
    return test::error_of([&] { (void)parse(overrides); });
  }
  // What parsing says on stderr.
  [[nodiscard]] std::string log_of(const std::vector<std::string>& overrides) const {
    init_log(LogLevel::kInfo);
    ::testing::internal::CaptureStderr();
    (void)parse(overrides);
    return ::testing::internal::GetCapturedStderr();
  }
  // "train val test" of what run_type says.
  [[nodiscard]] std::string words_of(const std::string& run_type) const {
    const RunType type = parse({"run_type=" + run_type}).run_type;
    return concat(type.train ? "train " : "", type.val ? "val " : "", type.test ? "test " : "");
  }
};

TEST_F(RunConfigTest, FeaturesInHalfPrecisionAreForModelsInHalfPrecision) {
  DefaultsProvider of_features = provider();
  of_features.dataset_defaults = [](const std::string&) {
    return parse_toml("feature_dtype = \"float32\"", "defaults");
  };
  const auto parse_with = [&](const std::vector<std::string>& overrides) {
    const auto file = folder_ / "run.toml";
    return RunConfig::parse(resolve_config(file, parse_overrides(overrides), of_features).root);
  };
  const std::string halves = "dataset_config.easy_vqa.feature_dtype=bfloat16";
  const auto complaint = [&](const std::vector<std::string>& overrides) {
    return test::error_of([&] { (void)parse_with(overrides); });
  };
  EXPECT_THAT(
      complaint({halves}),
      HasSubstr("dataset_config.easy_vqa.feature_dtype = \"bfloat16\" (command line) is for "
                "training.precision = \"bf16\", but that is \"fp32\"; set it, or "
                "feature_dtype = \"float32\""));
  EXPECT_EQ(parse_with({halves, "training.precision=bf16"}).training.precision, Precision::kBf16);
  // Autocast to one half does not take the other: at::cat throws.
  EXPECT_THAT(
      complaint({halves, "training.fp16=true"}),
      HasSubstr("but that is \"fp16\"; set it, or feature_dtype = \"float16\" or \"float32\""));
  const std::string float16 = "dataset_config.easy_vqa.feature_dtype=float16";
  EXPECT_THAT(complaint({float16, "training.precision=bf16"}),
              HasSubstr("is for training.precision = \"fp16\", but that is \"bf16\"; set it, or "
                        "feature_dtype = \"bfloat16\" or \"float32\""));
  EXPECT_EQ(parse_with({float16, "training.fp16=true"}).training.precision, Precision::kFp16);
}

TEST_F(RunConfigTest, TheDefaultsAreThoseOfDefaultsToml) {
  const RunConfig run = parse();
  EXPECT_EQ(run.model, "pythia");
  EXPECT_EQ(run.dataset, "easy_vqa");
  EXPECT_TRUE(run.run_type.train && run.run_type.test && !run.run_type.val);
  EXPECT_EQ(run.training.experiment_name, "run");
  EXPECT_EQ(run.training.seed, 1234);
  EXPECT_EQ(run.training.device, "auto");
  EXPECT_EQ(run.training.num_threads, 0);
  EXPECT_EQ(run.training.batch_size, 512);
  EXPECT_EQ(run.training.update_frequency, 1);
  EXPECT_EQ(run.training.max_updates, 22000);
  EXPECT_EQ(run.training.max_epochs, std::nullopt);
  EXPECT_EQ(run.training.log_interval, 100);
  EXPECT_EQ(run.training.checkpoint_interval, (Duration{1000, Duration::Unit::kUpdates}));
  EXPECT_EQ(run.training.evaluation_interval, (Duration{1000, Duration::Unit::kUpdates}));
  EXPECT_FALSE(run.training.evaluate_metrics);
  EXPECT_EQ(run.training.num_workers, 4);
  EXPECT_TRUE(run.training.pin_memory);
  EXPECT_EQ(run.training.max_grad_l2_norm, std::nullopt);
  EXPECT_TRUE(run.training.nan_guard.enabled);
  EXPECT_TRUE(run.training.callbacks.empty());
  EXPECT_EQ(run.training.monitor.criteria, "val/total_loss");
  EXPECT_TRUE(run.training.monitor.minimize);
  EXPECT_FALSE(run.scheduler.has_value());
  EXPECT_FALSE(run.evaluation.predict);
  EXPECT_FALSE(run.checkpoint.resume);
  EXPECT_EQ(run.checkpoint.max_to_keep, -1);
  EXPECT_EQ(run.env.save_dir, "runs/run");
}

TEST_F(RunConfigTest, TakesWhatTheConfigSays) {
  const RunConfig run =
      parse({"training.max_epochs=0.5", "training.batch_size=64", "training.clip_gradients=true",
             "training.max_grad_l2_norm=0.25", "training.early_stop.criteria=val/easy_vqa/accuracy",
             "training.early_stop.minimize=false",
             "evaluation.metrics=[\"accuracy\", {type = \"r@k\", params = {k = 5}}]",
             "env.data_dir=/data", "checkpoint.max_to_keep=2", "training.seed=-1"});
  EXPECT_EQ(run.training.max_epochs, 0.5);
  EXPECT_EQ(run.training.batch_size, 64);
  EXPECT_EQ(run.training.max_grad_l2_norm, 0.25);
  EXPECT_EQ(run.training.monitor.criteria, "val/easy_vqa/accuracy");
  EXPECT_FALSE(run.training.monitor.minimize);
  ASSERT_EQ(run.evaluation.metrics.size(), 2U);
  EXPECT_EQ(run.evaluation.metrics[0].type, "accuracy");
  EXPECT_EQ(run.evaluation.metrics[1].params.get<std::int64_t>("k"), 5);
  EXPECT_EQ(run.env.data_dir, "/data");
  EXPECT_EQ(run.checkpoint.max_to_keep, 2);
  EXPECT_EQ(run.training.seed, -1);
}

TEST_F(RunConfigTest, HandsOutTheConfigsOfModelDatasetAndOptimizer) {
  const RunConfig run = parse();
  EXPECT_EQ(run.model_config.get<std::int64_t>("hidden_dim"), 256);
  EXPECT_EQ(run.model_config.path(), "model_config.pythia");
  EXPECT_EQ(run.dataset_configs.at("easy_vqa").get<std::int64_t>("max_words"), 8);
  ASSERT_TRUE(run.optimizer.has_value());
  EXPECT_EQ(run.optimizer->type, "adamw");
  EXPECT_EQ(run.optimizer->params.get<double>("lr"), 0.5);
}

TEST_F(RunConfigTest, RunTypeIsASetOfWords) {
  EXPECT_EQ(words_of("train"), "train ");
  EXPECT_EQ(words_of("train_inference"), "train test ");
  EXPECT_EQ(words_of("train_val_test"), "train val test ");
  EXPECT_EQ(words_of("val+test"), "val test ");
  EXPECT_EQ(words_of("[\"train\", \"val\"]"), "train val ");
}

TEST_F(RunConfigTest, RunTypeHasNoUnknownWords) {
  EXPECT_EQ(parse_complaint({"run_type=train_tset"}),
            "run_type = \"train_tset\" (command line) has the unknown word 'tset'; did you mean "
            "'test'?");
  EXPECT_EQ(
      parse_complaint({"run_type="}),
      "run_type = \"\" (command line) is empty; expected some of train, val, test, inference");
  EXPECT_EQ(parse_complaint({"run_type=[]"}),
            "run_type = [] (command line) is empty; expected some of train, val, test, inference");
}

TEST_F(RunConfigTest, DevicesHaveNames) {
  for (const char* device : {"auto", "cpu", "cuda", "cuda:0", "cuda:15"}) {
    EXPECT_EQ(parse({concat("training.device=", device)}).training.device, device);
  }
  for (const char* device : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:100", "cpu:0", "\"\""}) {
    EXPECT_THAT(parse_complaint({concat("training.device=", device)}),
                HasSubstr(" is not a device; expected auto, cpu, cuda or cuda:N"));
  }
}

TEST_F(RunConfigTest, ClippingNeedsANorm) {
  EXPECT_EQ(
      parse_complaint({"training.clip_gradients=true"}),
      "training.clip_gradients = true (command line) needs training.max_grad_l2_norm, which is "
      "not set; set it to a number above 0, such as 0.25");
}

TEST_F(RunConfigTest, ClippingIsByNormOrByValue) {
  EXPECT_EQ(parse({"training.clip_grad_value=0.5"}).training.clip_grad_value, 0.5);
  EXPECT_EQ(parse_complaint({"training.clip_grad_value=0.5", "training.clip_gradients=true",
                             "training.max_grad_l2_norm=1"}),
            "training.clip_grad_value = 0.5 (command line) limits gradients by value, and "
            "training.clip_gradients by norm; take one of the two out");
}

TEST_F(RunConfigTest, TheNormIsThatOfAllGradients) {
  EXPECT_NO_THROW(parse({"training.clip_norm_mode=all"}));
  EXPECT_EQ(parse_complaint({"training.clip_norm_mode=each"}),
            "training.clip_norm_mode = \"each\" (command line) is not known; expected \"all\": the "
            "norm of all gradients together");
}

TEST_F(RunConfigTest, TrainingNeedsAnOptimizer) {
  write_run("");
  EXPECT_EQ(
      parse_complaint({}),
      "optimizer.type is not set, and training needs one; set it, such as optimizer = {type = "
      "\"adamw\", params = {lr = 0.001}}");
  EXPECT_FALSE(parse({"run_type=test"}).optimizer.has_value());
}

TEST_F(RunConfigTest, NamesAreNotEmpty) {
  EXPECT_EQ(parse_complaint({"training.experiment_name="}),
            "training.experiment_name = \"\" (command line) is empty; expected a name");
  EXPECT_EQ(parse_complaint({"env.save_dir="}),
            "env.save_dir = \"\" (command line) is empty; expected a name");
}

TEST_F(RunConfigTest, NamesOfFoldersArePrintable) {
  for (const char* key : {"training.experiment_name", "env.save_dir"}) {
    EXPECT_EQ(parse_complaint({concat(key, "=\"a\\u0000b\"")}),
              concat(key,
                     " = \"a\\u0000b\" (command line) has control characters or bytes that are "
                     "not UTF-8; expected a name without"));
    EXPECT_THAT(parse_complaint({concat(key, "=a\xff")}), HasSubstr("has control characters"));
    EXPECT_THAT(parse_complaint({concat(key, "=a\nb")}), HasSubstr("has control characters"));
  }
  EXPECT_EQ(parse({"env.save_dir=runs/å b"}).env.save_dir, "runs/å b");
}

TEST_F(RunConfigTest, TheExperimentsNameLeadsToNoOtherFolder) {
  for (const std::string name : {"../../evil", "/evil", "a/b", ".", ".."}) {
    EXPECT_EQ(
        parse_complaint({"training.experiment_name=\"" + name + "\""}),
        "training.experiment_name = \"" + name +
            "\" (command line) is not the name of a folder; rename it to one without '/' that "
            "is neither . nor ..; where the run's folder is, env.save_dir or --run-dir says");
  }
  EXPECT_EQ(parse({"training.experiment_name=..a"}).env.save_dir, "runs/..a");
}

TEST_F(RunConfigTest, ThePythiaScheduleTakesWhatMmfHasInTraining) {
  const RunConfig run = parse({"training.lr_scheduler=true", "training.lr_steps=[10, 20]",
                               "training.use_warmup=true", "scheduler.params.lr_ratio=0.5"});
  ASSERT_TRUE(run.scheduler.has_value());
  EXPECT_EQ(run.scheduler->type, "pythia");
  EXPECT_EQ(to_string(run.scheduler->params.value()),
            "{lr_ratio = 0.5, lr_steps = [10, 20], use_warmup = true, warmup_factor = 0.2, "
            "warmup_iterations = 1000}");
}

TEST_F(RunConfigTest, APlateauIsOfWhatIsBetterForTheBestCheckpoint) {
  const std::vector<std::string> words = {"training.lr_scheduler=true",
                                          "scheduler.type=reduce_on_plateau",
                                          "training.early_stop.minimize=false"};
  EXPECT_EQ(to_string(parse(words).scheduler->params.value()), "{mode = \"max\"}");
  std::vector<std::string> own = words;
  own.insert(own.end(), {"scheduler.params.mode=min", "scheduler.params.patience=2"});
  const RunConfig run = parse(own);
  EXPECT_EQ(to_string(run.scheduler->params.value()), "{mode = \"min\", patience = 2}");
  EXPECT_EQ(run.scheduler->params.path(), "scheduler.params");
}

TEST_F(RunConfigTest, AScheduleCountsUpdatesOrEpochs) {
  EXPECT_FALSE(parse({"training.lr_scheduler=true"}).scheduler->by_epoch);
  EXPECT_TRUE(
      parse({"training.lr_scheduler=true", "scheduler.interval=epoch"}).scheduler->by_epoch);
  EXPECT_EQ(parse_complaint({"scheduler.interval=epochs"}),
            "scheduler.interval = \"epochs\" (command line) is not one of update, epoch; did you "
            "mean 'epoch'?");
  EXPECT_EQ(parse_complaint({"scheduler.interval=never"}),
            "scheduler.interval = \"never\" (command line) is not one of update, epoch");
}

TEST_F(RunConfigTest, OtherSchedulesTakeTheirOwnParamsAlone) {
  const RunConfig run = parse({"training.lr_scheduler=true", "scheduler.type=warmup_cosine",
                               "scheduler.params.num_warmup_steps=5"});
  ASSERT_TRUE(run.scheduler.has_value());
  EXPECT_EQ(run.scheduler->type, "warmup_cosine");
  EXPECT_EQ(to_string(run.scheduler->params.value()), "{num_warmup_steps = 5}");
}

TEST_F(RunConfigTest, SaysWhatHasNoEffect) {
  EXPECT_EQ(log_of({}), "");
  EXPECT_EQ(log_of({"multitasking.type=size_proportional", "training.lr_ratio=0.1"}), "");
  const std::pair<const char*, const char*> idle[] = {
      {"scheduler.type=warmup_cosine", "training.lr_scheduler is false"},
      {"training.lr_steps=[5]", "training.lr_scheduler is false"},
      {"training.use_warmup=true", "training.lr_scheduler is false"},
      {"training.max_grad_l2_norm=1", "training.clip_gradients is false"},
      {"training.histogram_interval=5", "training.tensorboard is false"},
      {"training.early_stop.patience=5", "training.early_stop.enabled is false"},
      {"training.ema.decay=0.5", "training.ema.enabled is false"},
      {"training.spike_guard.limit=5", "training.spike_guard.enabled is false"},
      {"multitasking.type=ratios", "there is one data set"},
      {"multitasking.params={x=1}", "there is one data set"},
      {"checkpoint.bypass_shape_mismatch=true", "checkpoint.pretrained is not set"},
      {"checkpoint.pretrained_state_mapping={a=\"b\"}", "checkpoint.pretrained is not set"}};
  for (const std::pair<std::string, const char*> word : idle) {
    const std::string key = word.first.substr(0, word.first.find('='));
    EXPECT_THAT(log_of({word.first}),
                EndsWith(concat("] warning: [config] ", key, " has no effect, because ",
                                word.second, "\n")));
  }
  EXPECT_THAT(log_of({"training.exit_on_nan_losses=false", "training.nan_guard.limit=5"}),
              EndsWith("training.nan_guard.limit has no effect, because "
                       "training.exit_on_nan_losses is false\n"));
  EXPECT_THAT(log_of({"training.deterministic=true", "training.cudnn_benchmark=true"}),
              EndsWith("training.cudnn_benchmark has no effect, because training.deterministic is "
                       "true\n"));
  EXPECT_THAT(
      log_of({"training.max_epochs=3", "training.max_updates=10"}),
      HasSubstr("warning: [config] training.max_epochs = 3 wins over training.max_updates = 10; to "
                "train for less, lower training.max_epochs, which may be a fraction\n"));
}

TEST_F(RunConfigTest, PretrainedWeightsAreAPathAndAMapping) {
  EXPECT_EQ(parse().checkpoint.pretrained, std::nullopt);
  const CheckpointConfig checkpoint =
      parse({"checkpoint.pretrained=weights.pth", "checkpoint.pretrained_resize_positions=true",
             "checkpoint.bypass_shape_mismatch=true",
             "checkpoint.pretrained_state_mapping={\"model.bert\" = \"bert\"}"})
          .checkpoint;
  EXPECT_EQ(checkpoint.pretrained, "weights.pth");
  EXPECT_TRUE(checkpoint.pretrained_resize_positions);
  EXPECT_TRUE(checkpoint.bypass_shape_mismatch);
  EXPECT_EQ(checkpoint.pretrained_state_mapping,
            (std::map<std::string, std::string>{{"model.bert", "bert"}}));
}

// TOML takes the dots of a key without quotation marks for tables.
TEST_F(RunConfigTest, APartWithDotsNeedsNoQuotationMarks) {
  const auto mapping =
      parse({"checkpoint.pretrained=x", "checkpoint.pretrained_state_mapping.model.bert=bert"})
          .checkpoint.pretrained_state_mapping;
  EXPECT_EQ(mapping, (std::map<std::string, std::string>{{"model.bert", "bert"}}));
}

TEST_F(RunConfigTest, AMappingThatIsNoTextIsRefused) {
  EXPECT_EQ(parse_complaint(
                {"checkpoint.pretrained=x", "checkpoint.pretrained_state_mapping.model.bert=1"}),
            "checkpoint.pretrained_state_mapping.model.bert = 1 (command line) is an integer; "
            "expected a part of the file's names, such as \"bert\"");
  EXPECT_THAT(parse_complaint({"checkpoint.pretrained=\"\""}), HasSubstr("is empty"));
}

TEST_F(RunConfigTest, AMappingWithoutWeightsIsToldToHaveNoEffect) {
  EXPECT_THAT(log_of({"checkpoint.pretrained_state_mapping.bert=bert"}),
              HasSubstr("no effect, because checkpoint.pretrained is not set"));
}

}  // namespace
}  // namespace pergola::host
