// SPDX-License-Identifier: BSD-3-Clause
// `pergola bench`: what it prints and how it compares, and that it leaves nothing behind.
#include "integration/run_test.h"

#include <signal.h>
#include <sys/stat.h>

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
        {"precision", "fp32"}, {"batch_size", 8},       {"update_frequency", 1},
        {"work", "training"}};
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

// The split test has 22 samples or so: 6 + 12 + 8 batches of 8 are several passes over it.
TEST_F(BenchTest, PredictionsAreMeasuredInPlaceOfUpdates) {
  const auto before = listing(".");
  const Json json = bench_json({"--predict"});
  EXPECT_EQ(json.at("conditions").at("work"), "prediction");
  EXPECT_EQ(json.at("windows").size(), 2U);
  EXPECT_LE(json.at("step_ms").at("p10"), json.at("step_ms").at("p90"));
  EXPECT_GT(json.at("step_ms").at("p10"), 0.0);
  EXPECT_FALSE(json.contains("data_wait_share"));
  // Forward alone, a third of an update's (JsonHasTheNumbers).
  EXPECT_EQ(json.at("flops_per_sample"), 2 * (3 + 16) * (5 + 1));
  EXPECT_EQ(listing("."), before);
}

// Of three steps after the windows, which are not slowed down by it.
TEST_F(BenchTest, ProfileWritesATraceOfAFewSteps) {
  expect_success(bench({"--profile", "update.json"}));
  const std::string updates = text("update.json");
  ASSERT_TRUE(Json::accept(updates));
  for (const char* name : {"\"update 19\"", "\"update 21\"", "\"forward\"", "\"data\""}) {
    EXPECT_THAT(updates, HasSubstr(name));
  }
  EXPECT_THAT(updates, Not(HasSubstr("\"update 18\"")));
  expect_success(bench({"--profile", "prediction.json", "--predict"}));
  ASSERT_TRUE(Json::accept(text("prediction.json")));
  EXPECT_THAT(text("prediction.json"), HasSubstr("\"prediction 20\""));
  expect_error(bench({"--profile", "none/trace.json"}), kConfig, {"none/trace.json"});
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  expect_error(bench({"--profile", "pipe"}), kConfig,
               {"cannot write the trace to pipe: it is a pipe or a device"});
  EXPECT_TRUE(std::filesystem::is_fifo(path("pipe")));
  expect_error(bench({"--profile", "one.json", "--output", "./one.json"}), kConfig,
               {"--profile and --output both name ./one.json"});
}

TEST_F(BenchTest, ProfileOfATrainingIsInItsFolder) {
  expect_success(train({"--profile", "training.profile.start_update=2"}));
  EXPECT_THAT(text("run/trace.json"), HasSubstr("\"update 3\""));
  EXPECT_THAT(text("run/log.txt"), HasSubstr("[profile] 5 updates after update 2 in "));
  expect_success(train({"--overwrite"}));
  EXPECT_FALSE(std::filesystem::exists(path("run/trace.json"))) << "the old run's";
  expect_error(train({"--profile", "--nvtx"}), kConfig,
               {"--profile and --nvtx exclude each other"});
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

// tools/bench/configs: each is measured here with tiny sizes, so that it still runs where it
// counts.
class BenchConfigTest : public RunTest {
 protected:
  [[nodiscard]] Json bench(const std::string& config, const Words& more) const {
    Words words = {"bench",     PERGOLA_BENCH_CONFIGS "/" + config + ".toml",
                   "--steps",   "1",
                   "--windows", "1",
                   "--warm-up", "0",
                   "--device",  "cpu",
                   "--format",  "json"};
    words.insert(words.end(), {"--plugin-path", PERGOLA_BENCH_PLUGINS, "training.batch_size=2",
                               "training.num_workers=1", "training.num_threads=1"});
    words.insert(words.end(), more.begin(), more.end());
    const Result result = pergola(words);
    expect_success(result);
    return Json::parse(result.out);
  }
  static Words small_bert(const Words& more) {
    const std::string model = "model_config.visual_bert.";
    Words words = {model + "hidden_size=16", model + "num_hidden_layers=1",
                   model + "num_attention_heads=2", model + "intermediate_size=16"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
};

TEST_F(BenchConfigTest, TinyMlp) {
  // Forward and backward of three layers of 256 x 256 and one of 256 x 16; none is needed of the
  // first one's input.
  EXPECT_EQ(bench("tiny_mlp", {}).at("flops_per_sample"),
            2 * (3 * (3 * 256 * 256 + 256 * 16) - 256 * 256));
}

TEST_F(BenchConfigTest, VisualBertFromMemory) {
  const Words sizes = small_bert({"dataset_config.synthetic_vqa.pool=2"});
  const Json json = bench("visual_bert_base", sizes);
  EXPECT_EQ(json.at("conditions").at("precision"), "bf16");
  // A question has 5 to 23 word pieces.
  const double tokens =
      json.at("tokens_per_second").get<double>() / json.at("samples_per_second").get<double>();
  EXPECT_GE(tokens, 5.0);
  EXPECT_LE(tokens, 23.0);
  Words predict = sizes;
  predict.emplace_back("--predict");
  EXPECT_EQ(bench("visual_bert_base", predict).at("conditions").at("work"), "prediction");
}

TEST_F(BenchConfigTest, VisualBertFromFiles) {
  Launch make;
  make.command = {PERGOLA_TOOLS "/bench/make_vqa_files",
                  path("files").string(),
                  "--images",
                  "2",
                  "--questions",
                  "40",
                  "--width",
                  "3"};
  expect_success(test::run(make));
  const Json json =
      bench("visual_bert_files",
            small_bert({"dataset_config.image_text.data_dir=" + path("files").string(),
                        "dataset_config.image_text.feature_dim=3",
                        "model_config.visual_bert.visual_embedding_dim=3"}));
  EXPECT_GE(
      json.at("tokens_per_second").get<double>() / json.at("samples_per_second").get<double>(),
      5.0);
}

TEST_F(BenchConfigTest, Pythia) {
  const std::string data = "dataset_config.synthetic_vqa.";
  const std::string model = "model_config.pythia.";
  const Json json =
      bench("pythia_vqa2",
            {data + "pool=2", data + "feature_dim=6", data + "vocabulary=30",
             model + "image_feature_dim=6", model + "image_text_modal_combine.params.hidden_dim=8",
             model + "classifier.params.img_hidden_dim=8",
             model + "image_feature_embeddings[0].modal_combine.params.hidden_dim=8",
             model + "text_embeddings[0].params.hidden_dim=8"});
  EXPECT_GT(json.at("samples_per_second"), 0.0);
}

}  // namespace
}  // namespace pergola::test
