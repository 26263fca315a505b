// SPDX-License-Identifier: BSD-3-Clause
// One sample, predicted by what a checkpoint carries: without CONFIG, data set or vocabulary.
#include "integration/predict_test.h"

#include <algorithm>
#include <set>

namespace pergola::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PredictEasyVqa : public PredictTest, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, PredictEasyVqa,
                         ::testing::Values("boring", "cnn_lstm", "pythia", "visual_bert", "mmbt",
                                           "concat_bert", "concat_bow", "late_fusion"));

TEST_P(PredictEasyVqa, AnswersAsThePredictionFileOfTheSplit) {
  train_and_carry(GetParam());
  const Json rows = json("predictions/easy_vqa_test.json");
  for (const std::size_t i : {0U, 1U, 4U}) {  // of a red shape, and a blue one
    const std::string image =
        "asked/easy_vqa/test/images/" + std::to_string(rows.at(i).at("image_id").get<int>());
    const Json found = answer({"--text", rows[i].at("question"), "--image", image + ".png"});
    expect_same_answer(found, rows[i]);
    EXPECT_EQ(found.at("model"), GetParam());
    EXPECT_EQ(found.at("checkpoint"), "carried");
    EXPECT_EQ(found.at("top").size(), 5U);  // of six: <unk> is one
  }
}

class PredictOneTest : public PredictTest {
 protected:
  static constexpr const char* kImage = "asked/easy_vqa/test/images/0.png";

  [[nodiscard]] Result ask_colour(const Words& more = {}) const {
    Words words = {"--text", "what color is the shape?", "--image", kImage};
    words.insert(words.end(), more.begin(), more.end());
    return ask(words);
  }
};

TEST_F(PredictOneTest, WritesOneObjectWithAsManyAnswersAsAskedFor) {
  train_and_carry("boring");
  const Result result = ask_colour({"--top", "2"});
  expect_success(result);
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 1);
  EXPECT_EQ(Json::parse(result.out).at("top").size(), 2U);
  const Json all = Json::parse(ask_colour({"--top", "1000"}).out);
  ASSERT_EQ(all.at("top").size(), 6U);
  std::set<std::string> words;
  for (const Json& each : all.at("top")) words.insert(each.at("answer"));
  EXPECT_EQ(words, (std::set<std::string>{"<unk>", "red", "green", "blue", "yes", "no"}));
  for (const char* bad : {"0", "-1", "many", "1.5"}) {
    expect_error(ask_colour({std::string("--top=") + bad}), ExitCode::kConfig,
                 {"--top " + std::string(bad) + " is not a number of answers"});
  }
  expect_error(pergola({"predict", "boring.toml", "--top", "3"}), ExitCode::kConfig,
               {"--top 3 is of one sample", "give these"});
}

// The way of a row and the way of one sample are one: in batches of one, no bit differs.
TEST_F(PredictOneTest, IsTheRowOfTheSplitBitForBit) {
  expect_success(train({}, "cnn_lstm"));
  expect_success(
      pergola({"predict", "cnn_lstm.toml", "--run-dir", "run", "training.batch_size=1"}));
  const Json row = json("run/predictions/easy_vqa_test.json").at(1);
  const Json found =
      answer({"--text", row.at("question"), "--image", "data/easy_vqa/test/images/0.png"}, "run");
  EXPECT_EQ(found.at("probability"), row.at("probability"));
  EXPECT_EQ(found.at("answer"), row.at("answer"));
}

TEST_F(PredictOneTest, SaysWhichInputIsMissingOrOneTooMany) {
  train_and_carry("boring");
  const std::string image = kImage;
  expect_error(ask({"--image", image}), ExitCode::kConfig,
               {"--text is missing", "has a text; give --text"});
  expect_error(ask({"--text", "  ", "--image", image}), ExitCode::kConfig, {"--text is blank"});
  expect_error(ask({"--text", "what?"}), ExitCode::kConfig,
               {"--image is missing", "has 1; give --image FILE once"});
  expect_error(ask_colour({"--image", image}), ExitCode::kConfig,
               {"--image is given 2 times", "has 1; give --image FILE once"});
  expect_error(ask_colour({"--features", image}), ExitCode::kConfig,
               {"--features is given once", "has 0; leave it out"});
  expect_error(ask({"--text", "what?\x1b[1m", "--image", image}), ExitCode::kConfig,
               {"--text 'what?\\x1b[1m' has control characters"});
  expect_error(ask({"--text", "?,", "--image", image}), kData, {"the question '?,' has no words"});
}

TEST_F(PredictOneTest, RefusesWhatDoesNotGoWithOneSample) {
  write("asked/image.png", "");
  const Words sample = {"predict", "--text", "what?", "--image", "asked/image.png"};
  const auto with = [&](const Words& more) {
    Words words = sample;
    words.insert(words.end(), more.begin(), more.end());
    return pergola(words);
  };
  expect_error(with({}), ExitCode::kConfig,
               {"--checkpoint is missing", "a checkpoint's folder or a run's"});
  expect_error(with({"--checkpoint", "c", "--split", "val"}), ExitCode::kConfig,
               {"--split val does not go with --text"});
  expect_error(with({"--checkpoint", "c", "boring.toml"}), ExitCode::kConfig,
               {"'boring.toml' stands beside --text", "its config is that of the checkpoint"});
  expect_error(pergola({"predict", "--checkpoint", "c"}), ExitCode::kConfig,
               {"CONFIG is missing", ", or pergola predict --checkpoint DIR --text"});
}

TEST_F(PredictOneTest, NamesTheImageThatItCannotUse) {
  train_and_carry("boring");
  const auto of_image = [&](const std::string& image) {
    return ask({"--text", "what color is the shape?", "--image", image});
  };
  expect_error(of_image("nowhere.png"), kData, {"nowhere.png", "No such file"});
  expect_error(of_image("asked"), kData, {"asked"});
  write("text.png", "no image at all");
  expect_error(of_image("text.png"), kData, {"text.png"});
  write("half.png", text(kImage).substr(0, text(kImage).size() / 2));
  expect_error(of_image("half.png"), kData, {"half.png"});
  fs::copy_file(path("asked/easy_vqa/test/images/1.png"), path("good.png"));
  expect_success(of_image("good.png"));
}

TEST_F(PredictOneTest, TakesARunsFolderForItsBestCheckpointOrElseTheLast) {
  expect_success(train());
  fs::rename(path("data"), path("asked"));
  const Words sample = {"--text", "what color is the shape?", "--image", kImage};
  const Json best = answer(sample, "run");
  EXPECT_EQ(best.at("checkpoint"), "run/checkpoints/best");
  EXPECT_EQ(best.at("top"), answer(sample, "run/checkpoints/best").at("top"));
  fs::remove_all(path("run/checkpoints/best"));
  EXPECT_EQ(answer(sample, "run").at("checkpoint"), "run/checkpoints/last");
}

TEST_F(PredictOneTest, RefusesAFolderThatIsNoWholeCheckpoint) {
  train_and_carry("boring");
  const Words sample = {"--text", "what color is the shape?", "--image", kImage};
  expect_error(ask(sample, "nowhere"), kCheckpoint, {"there is no checkpoint folder nowhere"});
  expect_error(ask(sample, "asked"), kCheckpoint, {"asked has no MANIFEST.json"});
  expect_error(ask(sample, kImage), kCheckpoint, {"it is a file"});
  write("empty_run/checkpoints/x", "");
  expect_error(ask(sample, "empty_run"), kCheckpoint, {"empty_run has no MANIFEST.json"});
  std::string bytes = text("carried/model.safetensors");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  replace("carried/model.safetensors", bytes);
  expect_error(ask(sample), kCheckpoint, {"carried/model.safetensors is damaged"});
}

TEST_F(PredictOneTest, OfAnOldCheckpointSaysWhatIsMissingAndHowToGetIt) {
  train_and_carry("boring");
  change_state([](Json& state) { state.erase("data"); });
  expect_error(ask_colour(), kCheckpoint,
               {"carried has no vocabularies of its data set", "`pergola train CONFIG --resume`",
                "`pergola predict CONFIG --checkpoint carried`"});
}

TEST_F(PredictOneTest, OfADamagedStateNamesWhatItLacks) {
  train_and_carry("boring");
  change_state([](Json& state) { state["data"]["processors"].erase("text_processor"); });
  expect_error(ask_colour(), kCheckpoint,
               {"of data set 'easy_vqa' lacks processors.text_processor"});
  change_state([](Json& state) { state["data"]["processors"]["text_processor"] = 3; });
  expect_error(ask_colour(), kCheckpoint, {"a processor's state is an integer without `words`"});
}

TEST_F(PredictOneTest, AResumedRunSavesWhatAnOlderOneDidNot) {
  expect_success(train({"run_type=train"}));
  fs::rename(path("run/checkpoints/last"), path("carried"));
  change_state([](Json& state) { state.erase("data"); });
  fs::rename(path("carried"), path("run/checkpoints/last"));
  expect_success(train({"--resume", "run_type=train", "training.max_updates=13"}));
  fs::rename(path("data"), path("asked"));
  EXPECT_EQ(
      answer({"--text", "what color is the shape?", "--image", kImage}, "run/checkpoints/last")
          .at("model"),
      "boring");
}

TEST_F(PredictOneTest, ADataSetThatMakesNoOtherSamplesSaysSo) {
  expect_success(train({"--plugin-path", fixture_folder("own_data").string(), "dataset=dots",
                        "run_type=train", "evaluation.predict=false"}));
  expect_error(
      ask({"--text", "what?", "--plugin-path", fixture_folder("own_data").string()}, "run"),
      ExitCode::kConfig,
      {"data set \"dots\" makes no samples but its own", "no state_dict() and sample_from()",
       "`pergola predict CONFIG"});
}

// Without words for its classes.
TEST_F(PredictOneTest, ADataSetOfAPluginCanAnswer) {
  const std::string own_data = fixture_folder("own_data").string();
  expect_success(train({"--plugin-path", own_data, "dataset=asked_dots", "run_type=train",
                        "training.max_updates=60", "model_config.boring.losses=[\"brier\"]",
                        "evaluation.predict=false"}));
  const auto of_word = [&](const std::string& word) {
    return answer({"--text", word, "--plugin-path", own_data}, "run");
  };
  EXPECT_EQ(of_word("dark").at("answer"), 0);
  const Json bright = of_word("bright");
  EXPECT_EQ(bright.at("answer"), 1);
  ASSERT_EQ(bright.at("top").size(), 2U);
  EXPECT_NEAR(bright["top"][0].at("probability").get<double>() +
                  bright["top"][1].at("probability").get<double>(),
              1, 1e-12);
}

TEST_F(PredictOneTest, AProcessorOfAPluginTakesPart) {
  const std::string own_data = fixture_folder("own_data").string();
  train_and_carry("boring", {"--plugin-path", own_data,
                             "dataset_config.easy_vqa.processors.text_processor=\"letters\""});
  const Json row = json("predictions/easy_vqa_test.json").at(0);
  expect_same_answer(
      answer({"--text", row.at("question"), "--image", kImage, "--plugin-path", own_data}), row);
  expect_error(ask_colour(), ExitCode::kConfig, {"processor 'letters' is not registered"});
}

TEST_F(PredictOneTest, APluginThatMovedIsNamedByPluginPath) {
  write("plugins/good.so", read_file(fixture_plugin("good")));
  train_and_carry("boring", {"plugins.path=[\"plugins\"]"});
  expect_success(ask_colour());
  fs::rename(path("plugins"), path("moved"));
  expect_error(ask_colour(), ExitCode::kConfig,
               {"model = \"boring\" (carried/state.json:", "is unknown", "with --plugin-path"});
  expect_success(ask_colour({"--plugin-path", "moved"}));
  write("broken/good.so", text("moved/good.so").substr(0, 5000));
  expect_error(ask_colour({"--plugin-path", "broken"}), kPlugin, {"broken/good.so", "truncated"});
}

TEST_F(PredictOneTest, AnotherVersionOfThePluginOrAnotherPluginIsTold) {
  train_and_carry("boring");
  const Result same = ask_colour();
  EXPECT_THAT(same.err, Not(HasSubstr("[checkpoint] saved by")));
  change_state([](Json& state) { state["plugin"]["version"] = "0.1.9"; });
  const Result other = ask_colour();
  expect_success(other);
  EXPECT_EQ(other.out, same.out);
  EXPECT_THAT(other.err,
              HasSubstr("[checkpoint] saved by 0.1.9 of plugin 'good', loaded by 0.1.0\n"));
  change_state([](Json& state) { state["plugin"]["name"] = "better"; });
  EXPECT_THAT(ask_colour().err, HasSubstr("warning: [checkpoint] saved by plugin \"better\", "
                                          "loaded by plugin 'good'"));
}

TEST_F(PredictOneTest, AConfigWhosePluginsAreNoTableIsRefused) {
  train_and_carry("boring");
  change_state([](Json& state) { state["config"] = "model = \"boring\"\nplugins = 3\n"; });
  expect_error(ask_colour(), ExitCode::kConfig, {"plugins = 3", "expected a table"});
}

TEST_F(PredictOneTest, AnotherModelOrDataSetIsRefused) {
  train_and_carry("boring");
  expect_error(ask_colour({"dataset=image_text"}), kCheckpoint,
               {"is of data set \"easy_vqa\", the config asks for 'image_text'"});
  expect_error(ask_colour({"model=pythia"}), kCheckpoint,
               {"is of model \"boring\", the config asks for 'pythia'"});
  expect_error(ask_colour({"model_config.boring.hidden_dim=7"}), kCheckpoint, {"words.weight"});
}

// What a training needs besides is not looked for.
TEST_F(PredictOneTest, NeedsNeitherMetricsNorAGpuOfTheTraining) {
  train_and_carry("boring");
  change_state([](Json& state) {
    std::string config = state["config"];
    const std::string cpu = "device = \"cpu\"";
    const std::string accuracy = "\"accuracy\"";
    config.replace(config.find(cpu), cpu.size(), "device = \"cuda:7\"");
    config.replace(config.find(accuracy), accuracy.size(), "\"of_another_plugin\"");
    state["config"] = config;
  });
  expect_success(ask_colour());
  expect_error(ask_colour({"--device", "cuda:7"}), ExitCode::kConfig, {"cuda:7"});
}

// What a training says of its config has nothing to do with one sample.
TEST_F(PredictOneTest, SaysNothingOfTheTraining) {
  expect_success(train({"training.max_epochs=1", "training.max_updates=5", "scheduler.type=pythia",
                        "training.max_grad_l2_norm=1"}));
  EXPECT_THAT(text("run/log.txt"), Not(HasSubstr("error")));
  const Result result = ask(
      {"--text", "what color is the shape?", "--image", "data/easy_vqa/test/images/0.png"}, "run");
  expect_success(result);
  EXPECT_THAT(result.err, Not(HasSubstr("warning:")));
}

TEST_F(PredictOneTest, InspectDoesNotListTheVocabularies) {
  train_and_carry("boring");
  const Result result = pergola({"checkpoint", "inspect", "carried"});
  expect_success(result);
  EXPECT_THAT(result.out, Not(HasSubstr("<unk>")));
}

// A program that somebody scripted is a file of its own.
TEST_F(PredictOneTest, AScriptedModelNeedsItsFile) {
  fs::copy_file(PERGOLA_GOLDEN_DIR "/torchscript_vqa.pt", path("vqa.pt"));
  write("from_python.toml", common_config() + R"(
model = "torchscript"
[model_config.torchscript]
file = "vqa.pt"
inputs = ["image", "text"]
losses = ["logit_bce"]
)");
  train_and_carry("from_python");
  const Json rows = json("predictions/easy_vqa_test.json");
  expect_same_answer(answer({"--text", rows[0].at("question"), "--image", kImage}), rows[0]);
  fs::rename(path("vqa.pt"), path("moved.pt"));
  expect_error(ask_colour(), ExitCode::kConfig, {"model_config.torchscript.file", "vqa.pt"});
  expect_success(ask_colour({"model_config.torchscript.file=moved.pt"}));
}

}  // namespace
}  // namespace pergola::test
