// SPDX-License-Identifier: BSD-3-Clause
// `pergola bench`: what it prints and how it compares, and that it leaves nothing behind.
#include "integration/run_test.h"

#include <signal.h>

namespace pergola::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int kSlower = 7;

class BenchTest : public RunTest {
 protected:
  // An epoch to warm up, and two windows of one each: 44 samples in batches of 8.
  static Words words_of(const Words& more, const std::string& config = "boring.toml") {
    Words words = {"bench", config, "--warm-up", "6", "--windows", "2", "--steps", "6"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  [[nodiscard]] Result bench(const Words& more = {}) const { return pergola(words_of(more)); }
  [[nodiscard]] Json bench_json(const Words& more = {}) const {
    Words words = {"--format", "json"};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = bench(words);
    expect_success(result);
    return Json::parse(result.out);
  }
  // An earlier report, of the bench that `bench` does.
  void write_baseline(double samples_per_second) const {
    Json baseline = {{"samples_per_second", samples_per_second}};
    baseline["conditions"] = {
        {"model", "boring"},   {"dataset", "easy_vqa"}, {"device", "cpu (1 thread)"},
        {"precision", "fp32"}, {"batch_size", 8},       {"update_frequency", 1}};
    write("old.json", baseline.dump());
  }
};

TEST_F(BenchTest, TextSaysWhatWasMeasuredAndNothingIsWritten) {
  const auto before = listing(".");
  const Result result = bench({"--run-dir", "run"});
  expect_success(result);
  EXPECT_THAT(result.out, StartsWith("boring on easy_vqa, cpu (1 thread), fp32, batch size 8: "
                                     "median of 2 x 6 steps, after 6\n  samples/s         "));
  for (const char* line : {"\n  tokens/s ", "\n  step ", "\n  data wait ", "\n  FLOPs ",
                           "\n  synchronisations ", "\n  peak memory "}) {
    EXPECT_THAT(result.out, HasSubstr(line));
  }
  EXPECT_THAT(result.out, Not(HasSubstr("kernels")));
  EXPECT_EQ(listing("."), before);
}

TEST_F(BenchTest, JsonHasTheNumbers) {
  const Json json = bench_json();
  EXPECT_EQ(json.at("conditions").at("model"), "boring");
  EXPECT_EQ(json.at("windows").size(), 2U);
  EXPECT_GT(json.at("samples_per_second"), 0.0);
  // Each image has "what color is the shape" and "is the shape red": 4.5 words a sample.
  EXPECT_NEAR(
      json.at("tokens_per_second").get<double>() / json.at("samples_per_second").get<double>(), 4.5,
      1e-9);
  // A linear layer from 3 colours and 16 numbers of words to 5 answers and <unk>, forward, and
  // backward for its weight and its input.
  EXPECT_EQ(json.at("flops_per_sample"), 3 * 2 * (3 + 16) * (5 + 1));
  const Json& step = json.at("step_ms");
  EXPECT_LE(step.at("p10"), step.at("median"));
  EXPECT_LE(step.at("median"), step.at("p90"));
  EXPECT_GT(step.at("p10"), 0.0);
  EXPECT_GE(json.at("data_wait_share"), 0.0);
  EXPECT_LE(json.at("data_wait_share"), 1.0);
  EXPECT_GT(json.at("peak_process_bytes"), 1 << 20);
  EXPECT_FALSE(json.contains("kernels_per_step"));
  EXPECT_FALSE(json.contains("mfu")) << "the peak of a CPU is not known";
}

// The trainer reads the losses of each update on the CPU; clipping to a norm reads nothing.
TEST_F(BenchTest, SynchronisationsAreThoseOfTheStep) {
  const Json json = bench_json();
  EXPECT_EQ(json.at("synchronisations_per_step"),
            json.at("synchronisations").value("aten::_local_scalar_dense", 0.0));
}

TEST_F(BenchTest, OutputTakesTheReportAndStdoutIsForPeople) {
  const Result result = bench({"--format", "json", "--output", "new.json"});
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("  samples/s "));
  EXPECT_EQ(json("new.json").at("conditions").at("batch_size"), 8);
  const Result again = bench({"--baseline", "new.json", "--tolerance", "100"});
  expect_success(again);
  EXPECT_THAT(again.err, Not(HasSubstr("the baseline is of another bench")));
}

TEST_F(BenchTest, ALossBeyondTheToleranceIsAnExitCodeOfItsOwn) {
  write_baseline(1e12);
  const Result slower = bench({"--baseline", "old.json"});
  EXPECT_EQ(slower.exit_code, kSlower) << slower;
  EXPECT_THAT(slower.out, HasSubstr("  baseline          -100.0% samples/s beside 1e+12 in "
                                    "old.json: slower than is tolerated, -5%\n"));
  expect_success(bench({"--baseline", "old.json", "--tolerance", "100"}));
}

TEST_F(BenchTest, AGainIsNone) {
  write_baseline(1e-3);
  const Json json = bench_json({"--baseline", "old.json", "--tolerance", "0"});
  EXPECT_EQ(json.at("baseline").at("is_slower"), false);
  EXPECT_EQ(json.at("baseline").at("samples_per_second"), 1e-3);
}

TEST_F(BenchTest, ABaselineOfAnotherBenchIsAWarning) {
  write_baseline(1e-3);
  const Result result = bench({"--baseline", "old.json", "training.batch_size=4"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("the baseline is of another bench: batch_size was 8 and is 4"));
}

TEST_F(BenchTest, ABaselineThatIsNoneIsRefusedBeforeTheWork) {
  expect_error(bench({"--baseline", "none.json"}), kConfig, {"none.json"});
  write("old.json", "{\"samples_per_second\": 3}");
  expect_error(bench({"--baseline", "old.json"}), kConfig,
               {"--baseline old.json is no report of a bench", "--format json --output FILE"});
}

TEST_F(BenchTest, NumbersThatAreNoneAreRefused) {
  expect_error(pergola({"bench", "boring.toml", "--steps", "0"}), kConfig,
               {"--steps 0 is not a number of steps; expected a whole number from 1"});
  expect_error(pergola({"bench", "boring.toml", "--windows", "many"}), kConfig,
               {"--windows many is not a number of windows"});
  expect_error(pergola({"bench", "boring.toml", "--warm-up", "-1"}), kConfig,
               {"--warm-up -1 is not a number of steps; expected a whole number from 0"});
  for (const char* percent : {"-1", "101", "nan", "5%", "1e999"}) {
    expect_error(bench({"--baseline", "old.json", "--tolerance", percent}), kConfig,
                 {std::string("--tolerance ") + percent + " is not a number of percent"});
  }
  expect_error(bench({"--tolerance", "5"}), kConfig, {"give --baseline FILE"});
}

TEST_F(BenchTest, WordsThatAreWrongNameWhatThereIs) {
  expect_error(pergola({"bench"}), kConfig, {"CONFIG is missing", "usage: pergola bench CONFIG"});
  expect_error(bench({"--format", "jsn"}), kConfig,
               {"did you mean 'json'?", "expected text, json"});
  expect_error(bench({"--output", "none/new.json"}), kConfig, {"there is no folder none"});
  expect_error(bench({"--overwrite"}), kConfig, {"'--overwrite' is not an option here"});
  const Result help = pergola({"bench", "--help"});
  EXPECT_THAT(help.out, StartsWith("usage: pergola bench CONFIG"));
  EXPECT_THAT(help.out, HasSubstr("the exit code is 7"));
}

TEST_F(BenchTest, WhatTrainingRefusesIsRefused) {
  expect_error(bench({"training.recompute=true"}), kConfig,
               {"training.recompute = true, but model 'boring' has no parts"});
}

// All that is in a step is measured, however short the run is: it is one of 12 updates, with a
// schedule that ends with it.
TEST_F(BenchTest, TheStepIsTheOneOfTheRun) {
  const Result result = bench({"training.ema.enabled=true", "training.clip_gradients=true",
                               "training.max_grad_l2_norm=1", "training.lr_scheduler=true",
                               "scheduler={type=\"warmup_cosine\", params={num_warmup_steps=2}}",
                               "training.max_epochs=1", "training.max_time=\"0:00:01\""});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("26 updates: 6 to warm up, 2 x 6 that are measured"));
}

// A callback of a plugin is a part of the step; validations and checkpoints are not.
TEST_F(BenchTest, CallbacksOfPluginsSeeUpdatesAndNoValidation) {
  write("records_hooks.toml", common_config() + R"(
model = "records_hooks"
training.callbacks = [{ type = "records_hooks", params = { file = "hooks.txt" } }]
plugins.path = [")" + fixture_folder("records_hooks").string() +
                                  "\"]\n");
  expect_success(pergola(words_of({}, "records_hooks.toml")));
  const std::string hooks = text("hooks.txt");
  EXPECT_THAT(hooks, StartsWith("on_init_start\non_init_end\non_train_start\non_update_start\n"));
  EXPECT_THAT(hooks, ::testing::EndsWith("on_update_complete\non_train_end\nteardown\n"));
  EXPECT_THAT(hooks, Not(HasSubstr("validation")));
}

TEST_F(BenchTest, AStopSignalEndsItAndLeavesNothing) {
  std::filesystem::create_directory(path("tmp"));
  const auto before = listing(".");
  Launch long_bench = launch({"bench", "boring.toml", "--windows", "1000000"});
  long_bench.environment["TMPDIR"] = path("tmp").string();
  Process process(long_bench);
  EXPECT_TRUE(wait_until(process, [&] { return !listing("tmp").empty(); }));
  process.send(SIGINT);
  const Result result = process.wait();
  EXPECT_EQ(result.exit_code, 128 + SIGINT) << result;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(listing("."), before);
}

}  // namespace
}  // namespace pergola::test
