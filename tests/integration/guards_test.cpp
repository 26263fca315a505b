// SPDX-License-Identifier: BSD-3-Clause
// Runs that go wrong and on, averaged weights, and parameters that thaw: what is logged, saved and
// resumed.
#include "integration/run_test.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <utility>

namespace pergola::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The bytes of each tensor of a safetensors file.
std::map<std::string, std::string> tensors_in(const std::string& file) {
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof(length));
  const Json header = Json::parse(file.substr(sizeof(length), length));
  std::map<std::string, std::string> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const std::size_t begin = entry.at("data_offsets").at(0);
    const std::size_t end = entry.at("data_offsets").at(1);
    tensors[name] = file.substr(sizeof(length) + length + begin, end - begin);
  }
  return tensors;
}

class GuardsTest : public RunTest {
 protected:
  GuardsTest() {
    write("goes_wrong.toml", common_config() + "model = \"goes_wrong\"\nplugins.path = [\"" +
                                 fixture_folder("goes_wrong").string() + "\"]\n");
  }
  // Saves at the end alone, unless `more` says otherwise, and evaluates nothing after it.
  [[nodiscard]] static Words quick(Words more) {
    more.insert(more.begin(), {"training.checkpoint_interval=0", "run_type=train"});
    return more;
  }
  [[nodiscard]] Result run(const Words& more) const { return train(quick(more), "goes_wrong"); }
  // That the run is the same when it is stopped after `update` and resumed.
  void expect_resumes(const Words& more, int update) const {
    Words parts = quick(more);
    parts.insert(parts.begin(), {"train", "goes_wrong.toml", "--run-dir", "parts"});
    parts.push_back("training.max_updates=" + std::to_string(update));
    expect_success(pergola(parts));
    ASSERT_FALSE(same_bytes(weights("parts"), weights("run")));
    parts.back() = "--resume";
    expect_success(pergola(parts));
    EXPECT_TRUE(same_bytes(weights("parts"), weights("run")));
    EXPECT_TRUE(same_bytes("parts/checkpoints/last/trainer.safetensors",
                           "run/checkpoints/last/trainer.safetensors"));
    const auto callbacks = [&](const std::string& folder) {
      Json states = json(folder + "/checkpoints/last/state.json").at("callbacks");
      states.erase("logging");  // the end of the first part has a validation more
      return states;
    };
    EXPECT_EQ(callbacks("parts"), callbacks("run"));
  }
  [[nodiscard]] std::map<std::string, std::string> tensors(const std::string& file) const {
    return tensors_in(text(file));
  }
};

TEST_F(GuardsTest, NanStopsTheRunAndSavesTheBatch) {
  const Result result = run({"model_config.goes_wrong.nan_at=[5]"});
  EXPECT_EQ(result.exit_code, kNan) << result;
  EXPECT_THAT(result.err, HasSubstr("error: not a finite number at update 5: "
                                    "train/easy_vqa/cross_entropy; look for nan and inf"));
  EXPECT_EQ(json("run/summary.json").at("status"), "nan");
  const Json facts = json("run/nan_batches/update_00000005.json");
  EXPECT_EQ(facts.at("losses").at("train/easy_vqa/cross_entropy"), "nan");
  EXPECT_EQ(facts.at("dataset"), "easy_vqa");
  const auto batch = tensors("run/nan_batches/update_00000005.safetensors");
  ASSERT_TRUE(batch.contains("image"));
  EXPECT_EQ(batch.at("image").size(), 8U * 3 * 16 * 16 * sizeof(float));
}

// Without its statistics put back, every validation would be NaN.
TEST_F(GuardsTest, NanIsSkippedAndTheRunGoesOn) {
  const Words skip = {"training.nan_guard.action=skip", "model_config.goes_wrong.nan_at=[3,5,6]"};
  const Result result = run(skip);
  expect_success(result);
  for (const char* line : {"update 3 is skipped: not a finite number: "
                           "train/easy_vqa/cross_entropy (1 in a row, at most 10)",
                           "update 5 is skipped", "(2 in a row, at most 10)"}) {
    EXPECT_THAT(result.err, HasSubstr(line));
  }
  EXPECT_EQ(json("run/summary.json").at("updates"), 12);
  for (const Json& row : metrics()) {
    for (const auto& [key, value] : row.items()) {
      if (key != "grad_norm") {
        EXPECT_FALSE(value.is_null()) << key;
      }
    }
  }
  expect_resumes(skip, 5);
}

// With anomalies looked for, the guard decides as without it, and knows more.
TEST_F(GuardsTest, AnAnomalyIsTheNanGuardsToDecide) {
  const Words watched = {"training.detect_anomaly=true", "model_config.goes_wrong.nan_at=[5]"};
  const auto with = [&](const char* word) {
    Words words = watched;
    words.insert(words.end(), {word, "--overwrite"});
    return run(words);
  };
  const std::string found =
      "train/easy_vqa/cross_entropy; training_step() made a NaN; the first operation with one in "
      "its result is aten::mul (training.detect_anomaly)";
  const Result stopped = run(watched);
  EXPECT_EQ(stopped.exit_code, kNan) << stopped;
  EXPECT_THAT(stopped.err,
              HasSubstr("error: not a finite number at update 5: " + found + "; look for nan"));
  EXPECT_EQ(json("run/nan_batches/update_00000005.json").at("losses").size(), 1U);

  const Result skipped = with("training.nan_guard.action=skip");
  expect_success(skipped);
  EXPECT_THAT(skipped.err, HasSubstr("update 5 is skipped: not a finite number: " + found));

  const Result allowed = with("training.exit_on_nan_losses=false");
  expect_success(allowed);
  EXPECT_THAT(allowed.err, HasSubstr("warning: [nan] update 5: training_step() made a NaN; "));
  EXPECT_THAT(allowed.err, Not(HasSubstr("[nan] update 6")));
}

// Nor the statistics of batch norm, whoever skips it.
TEST_F(GuardsTest, ASkippedUpdateChangesNoWeight) {
  const Words reasons[] = {
      {"training.nan_guard.action=skip", "model_config.goes_wrong.nan_at=[3]"},
      {"training.spike_guard.enabled=true", "training.spike_guard.window=2",
       "training.spike_guard.zscore=900", "model_config.goes_wrong.spike_at=[3]"},
      {"training.callbacks=[{type = \"skips\", params = {at = [3]}}]"}};
  for (Words words : reasons) {
    SCOPED_TRACE(words.back());
    words.insert(words.end(),
                 {"training.checkpoint_interval=1", "training.max_updates=4", "--overwrite"});
    expect_success(run(words));
    const auto model_of = [](const std::string& update) {
      return "run/checkpoints/update_0000000" + update + "/model.safetensors";
    };
    EXPECT_TRUE(same_bytes(model_of("3"), model_of("2")));
    EXPECT_FALSE(same_bytes(model_of("4"), model_of("3")));
  }
}

TEST_F(GuardsTest, TooManySkipsInARowStop) {
  const Result result = run({"training.nan_guard.action=skip", "training.nan_guard.limit=2",
                             "model_config.goes_wrong.nan_at=[3,4,5]"});
  EXPECT_EQ(result.exit_code, kNan) << result;
  EXPECT_THAT(result.err, HasSubstr("not a finite number at update 5: "
                                    "train/easy_vqa/cross_entropy, after 2 skipped updates in a "
                                    "row, which is training.nan_guard.limit; look for"));
}

TEST_F(GuardsTest, SpikeIsSkippedAndTheRunResumesExactly) {
  const Words guard = {"training.spike_guard.enabled=true", "training.spike_guard.window=4",
                       "training.spike_guard.zscore=50", "model_config.goes_wrong.spike_at=[9]"};
  const Result result = run(guard);
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("[spike] update 9 is skipped: its loss "));
  expect_resumes(guard, 7);
}

TEST_F(GuardsTest, AveragedWeightsAreEvaluatedSavedAndResumed) {
  const Words ema = {"training.ema.enabled=true", "training.ema.decay=0.5",
                     "training.ema.start_update=2", "training.ema.interval=2"};
  const Result result = run(ema);
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("[ema] evaluations use averaged weights: decay 0.5, every 2 "
                                    "updates from update 2 on"));
  const auto model = tensors(weights());
  const auto trainer = tensors("run/checkpoints/last/trainer.safetensors");
  ASSERT_TRUE(trainer.contains("weights/encoder.weight"));
  EXPECT_NE(model.at("encoder.weight"), trainer.at("weights/encoder.weight"));
  EXPECT_FALSE(trainer.contains("weights/norm.running_mean"));
  expect_resumes(ema, 7);
  // What a checkpoint holds is what the validation of its update measured.
  Words validate = {"validate", "goes_wrong.toml", "--run-dir",
                    "run",      "--checkpoint",    "run/checkpoints/last"};
  const Result measured = pergola(validate);
  expect_success(measured);
  for (const Json& row : metrics()) {
    if (row.at("split") != "val" || row.at("update") != 12 || row.contains("checkpoint")) continue;
    char line[64];
    std::snprintf(line, sizeof(line), "val/total_loss %.6g\n",
                  row.at("val/total_loss").get<double>());
    EXPECT_THAT(measured.out, HasSubstr(line));
  }
}

// From a run without it: the average begins. To one without it: the weights go on.
TEST_F(GuardsTest, AveragingCanBeginAndEndWithAResume) {
  expect_success(run({}));
  const std::string on = "training.ema.enabled=";
  for (const bool begins : {true, false}) {
    const std::string folder = begins ? "begins" : "ends";
    const Words words = {"train", "goes_wrong.toml", "--run-dir", folder};
    const auto with = [&](Words more) {
      more = quick(std::move(more));
      more.insert(more.begin(), words.begin(), words.end());
      return more;
    };
    expect_success(pergola(with({"training.max_updates=6", on + (begins ? "false" : "true")})));
    const Result resumed = pergola(with({"--resume", on + (begins ? "true" : "false")}));
    expect_success(resumed);
    const auto own = begins ? tensors(folder + "/checkpoints/last/trainer.safetensors")
                            : tensors(weights(folder));
    EXPECT_EQ(own.at(begins ? "weights/encoder.weight" : "encoder.weight"),
              tensors(weights()).at("encoder.weight"));
    EXPECT_THAT(resumed.err,
                HasSubstr(begins ? "[ema] the checkpoint has no averaged weights: the average "
                                   "begins with the weights"
                                 : "[ema] the checkpoint's averaged weights are left out: training "
                                   "goes on with its own"));
  }
}

TEST_F(GuardsTest, ParametersThawWhereTheScheduleSays) {
  const Words unfreeze = {
      "training.unfreeze=[{parameters = [\"encoder.*\"], after = \"2 epochs\"}]",
      "training.checkpoint_interval=1"};
  const Result result = run(unfreeze);  // 6 updates are an epoch
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("are never trained: the run ends at update 12"));
  const Words early = {"training.unfreeze=[{parameters = [\"encoder.*\"], after = 5}]",
                       "training.checkpoint_interval=1"};
  Words words = early;
  words.emplace_back("--overwrite");
  const Result thawed = run(words);
  expect_success(thawed);
  EXPECT_THAT(thawed.err, HasSubstr("[model] 2 tensors with 32 elements of training.unfreeze[0]"));
  EXPECT_THAT(thawed.err, HasSubstr("are trained from update 6 on"));
  const auto encoder_at = [&](const std::string& update) {
    return tensors("run/checkpoints/update_0000000" + update + "/model.safetensors")
        .at("encoder.weight");
  };
  EXPECT_EQ(encoder_at("5"), encoder_at("1"));
  EXPECT_NE(encoder_at("6"), encoder_at("5"));
  expect_resumes(early, 3);
}

TEST_F(GuardsTest, AnUnfreezePatternThatMatchesNothingNamesTheClosest) {
  expect_error(
      run({"training.unfreeze=[{parameters = [\"encodr.*\"], after = 5}]"}), kConfig,
      {"training.unfreeze[0]", "matches no parameter of the model", "did you mean 'encoder.*'?"});
}

constexpr const char* kShortage =
    "2.00 GiB were asked for, and of the 80.00 GiB of GPU 0 1.50 GiB were free; this process holds "
    "78.00 GiB: 77.00 GiB in tensors, 512.00 MiB kept unused; set training.batch_size = 4";

TEST_F(GuardsTest, MemoryThatRanOutIsToldWithWhatToChange) {
  const Result result = run({"model_config.goes_wrong.fits=4"});
  EXPECT_EQ(result.exit_code, kUnexpected) << result;
  EXPECT_THAT(result.err,
              HasSubstr(std::string("error: training_step() of model 'goes_wrong' (plugin "
                                    "goes_wrong 0.1.0) ran out of memory at update 1: ") +
                        kShortage +
                        " and training.update_frequency = 2, which makes the same "
                        "updates, or training.on_out_of_memory = \"halve\""));
  EXPECT_EQ(json("run/summary.json").at("status"), "failed");
}

TEST_F(GuardsTest, BatchesThatAreTooLargeAreHalvedAndTheRunResumesWithThat) {
  const Words halve = {"training.on_out_of_memory=halve", "model_config.goes_wrong.fits=3"};
  const Result result = run(halve);
  expect_success(result);
  for (const char* line : {"ran out of memory at update 1: 2.00 GiB were asked for",
                           "goes on, with 4 samples at a time", "goes on, with 2 samples at a"}) {
    EXPECT_THAT(result.err, HasSubstr(line));
  }
  EXPECT_THAT(result.err, Not(HasSubstr("goes on, with 1 sample")));
  EXPECT_EQ(json("run/checkpoints/last/state.json").at("samples_at_a_time"), 2);
  expect_resumes(halve, 5);
}

// A checkpoint every three updates; none of a GPU that answers no more.
TEST_F(GuardsTest, AGpuThatFailsEndsTheRunWithTheWayToGoOn) {
  const Result result = train({"model_config.goes_wrong.gpu_fails_at=5"}, "goes_wrong");
  EXPECT_EQ(result.exit_code, kPlugin) << result;
  EXPECT_THAT(result.err,
              HasSubstr("error: training_step() of model 'goes_wrong' (plugin goes_wrong 0.1.0) "
                        "failed at update 5: the GPU reports 'device-side assert triggered', which "
                        "CUDA tells late, so that work of before may be the cause: run again with "
                        "the variable CUDA_LAUNCH_BLOCKING=1, or with training.detect_anomaly = "
                        "true, to see where it happens; this process can use the GPU no more; the "
                        "last checkpoint is run/checkpoints/last: go on with --resume"));
  EXPECT_EQ(json("run/summary.json").at("status"), "failed");
  EXPECT_LT(json("run/checkpoints/last/state.json").at("progress").at("update"), 5);
}

TEST_F(GuardsTest, AnEvaluationThatIsTooLargeIsHalvedToo) {
  expect_success(run({}));
  const Words validate = {"validate", "goes_wrong.toml", "--run-dir", "run"};
  const Result whole = pergola(validate);
  expect_success(whole);
  Words small = validate;
  small.emplace_back("model_config.goes_wrong.fits_in_evaluation=3");
  const Result stopped = pergola(small);
  EXPECT_EQ(stopped.exit_code, kUnexpected) << stopped;
  EXPECT_THAT(stopped.err, HasSubstr(std::string("error: validation_step() of model 'goes_wrong' "
                                                 "(plugin goes_wrong 0.1.0) ran out of memory at "
                                                 "batch 0: ") +
                                     kShortage));
  small.emplace_back("training.on_out_of_memory=halve");
  const Result halved = pergola(small);
  expect_success(halved);
  EXPECT_THAT(halved.err, HasSubstr("it is done again, and goes on, with 2 samples at a time"));
  EXPECT_EQ(halved.out, whole.out);
}

}  // namespace
}  // namespace pergola::test
