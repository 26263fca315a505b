// SPDX-License-Identifier: BSD-3-Clause
// The commands that show things.
#include "integration/run_test.h"

#include <unistd.h>

#include <algorithm>

namespace pergola::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class CommandsTest : public RunTest {
 protected:
  static Words with_good(Words words) {
    words.insert(words.end(), {"--plugin-path", fixture_folder("good").string()});
    return words;
  }
  [[nodiscard]] Result doctor(const std::string& plugins, const std::string& data_dir) const {
    Launch words = launch({"doctor", "--plugin-path", plugins});
    words.environment["PERGOLA_DATA_DIR"] = data_dir;
    return run(words);
  }
};

TEST_F(CommandsTest, VersionIsOneLine) {
  const Result result = pergola({"--version"});
  expect_success(result);
  EXPECT_THAT(result.out,
              ContainsRegex("^pergola [0-9]+\\.[0-9]+\\.[0-9]+ \\(SDK ABI [0-9]+\\)\n$"));
  EXPECT_EQ(result.err, "");
}

TEST_F(CommandsTest, VersionAndHelpTakeNoMoreWords) {
  expect_error(pergola({"--version", "extra"}), kConfig,
               {"'extra' is one word too many after --version", "pergola COMMAND --help"});
  expect_error(pergola({"help", "train"}), kConfig, {"'train' is one word too many after help"});
}

TEST_F(CommandsTest, HelpNamesEveryCommandAndExitCode) {
  const Result result = pergola({"--help"});
  expect_success(result);
  for (const char* word :
       {"pergola train", "pergola validate", "pergola test", "pergola predict", "pergola plugins",
        "pergola list", "pergola config", "pergola checkpoint", "pergola doctor", "128 + N"}) {
    EXPECT_THAT(result.out, HasSubstr(word));
  }
}

// "Exit codes: ... first.", on one line.
std::string exit_codes_of(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  const std::size_t begin = text.find("Exit codes: ");
  const std::string end = "saves first.";
  if (begin == std::string::npos) return "(no exit codes)";
  return text.substr(begin, text.find(end, begin) - begin + end.size());
}

TEST_F(CommandsTest, HelpAndReadmeSayTheSameOfTheExitCodes) {
  const std::string help = exit_codes_of(pergola({"--help"}).out);
  EXPECT_EQ(help, exit_codes_of(read_file(PERGOLA_README)));
  EXPECT_THAT(help, HasSubstr("1 unexpected, or stdout cannot be written,"));
  EXPECT_THAT(help, HasSubstr("5 checkpoint or run folder,"));
}

TEST_F(CommandsTest, WithoutACommandTheHelpIsShownAndTheExitCodeIsOfUsage) {
  const Result result = pergola({});
  EXPECT_EQ(result.exit_code, kConfig);
  EXPECT_THAT(result.out, HasSubstr("pergola train"));
}

class EachCommand : public CommandsTest, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Commands, EachCommand,
                         ::testing::Values("train", "validate", "test", "predict", "plugins",
                                           "list", "config", "checkpoint", "doctor"),
                         [](const auto& param) { return std::string(param.param); });

TEST_P(EachCommand, HasHelpOfItsOwn) {
  const Result result = pergola({GetParam(), "--help"});
  expect_success(result);
  EXPECT_THAT(result.out, StartsWith(std::string("usage: pergola ") + GetParam()));
  EXPECT_THAT(result.out, HasSubstr("--log-level"));
  EXPECT_EQ(result.err, "");
}

TEST_P(EachCommand, RefusesAnOptionThatItDoesNotHave) {
  expect_error(pergola({GetParam(), "--plugin-pth", "x"}), kConfig,
               {"'--plugin-pth' is not an option here", "did you mean '--plugin-path'?",
                std::string("usage: pergola ") + GetParam()});
}

TEST_F(CommandsTest, UnknownCommandOffersTheClosest) {
  expect_error(pergola({"trian"}), kConfig,
               {"'trian' is not a command", "did you mean 'train'?", "pergola --help"});
}

TEST_F(CommandsTest, UnknownVerbOffersTheClosest) {
  expect_error(pergola({"plugins", "lst"}), kConfig,
               {"'lst' is not known", "did you mean 'list'?"});
  expect_error(pergola({"checkpoint", "inspct", "x"}), kConfig, {"did you mean 'inspect'?"});
  expect_error(pergola({"list", "modls"}), kConfig,
               {"'modls' cannot be listed", "did you mean 'models'?"});
}

TEST_F(CommandsTest, PluginsListHasALineForEach) {
  const Result result = pergola(with_good({"plugins", "list"}));
  expect_success(result);
  EXPECT_THAT(result.out, ContainsRegex("good 0\\.1\\.0\tboring\tok\t.*/good\\.so\n"));
  EXPECT_THAT(result.out, ContainsRegex("pythia 0\\.1\\.0\tpythia\tok\t.*/pythia\\.so\n"));
  EXPECT_THAT(result.out, ContainsRegex("cnn_lstm 0\\.1\\.0\tcnn_lstm\tok\t.*/cnn_lstm\\.so\n"));
}

TEST_F(CommandsTest, PluginsInspectPrintsTomlThatCanBePasted) {
  const Result result = pergola({"plugins", "inspect", fixture_plugin("good").string()});
  expect_success(result);
  for (const char* line :
       {"# good 0.1.0, BSD-3-Clause\n", "# sha256 ", "# built with libtorch 2.11.0\n",
        "# model boring: ", "hidden_dim = 16\n",
        "# reads text: int64 [T], at least 0, below 1024; indices of words\n"}) {
    EXPECT_THAT(result.out, HasSubstr(line));
  }
  write("boring.toml", text("boring.toml") + result.out);
  expect_success(train({"training.max_updates=1"}));
}

TEST_F(CommandsTest, PluginsInspectOfANestedConfigCanBePasted) {
  const Result listed = pergola({"plugins", "list"});
  const std::size_t end = listed.out.find("/pythia.so") + std::string("/pythia.so").size();
  const std::size_t begin = listed.out.rfind('\t', end) + 1;
  const Result result = pergola({"plugins", "inspect", listed.out.substr(begin, end - begin)});
  expect_success(result);
  const std::string config = text("pythia.toml");
  write("pythia.toml", config.substr(0, config.find("[model_config")) + result.out);
  expect_success(pergola({"config", "show", "pythia.toml"}));
}

TEST_F(CommandsTest, PluginsInspectSaysWhatEachKeyMeansAndMayBe) {
  const Result listed = pergola({"plugins", "list"});
  const std::size_t end = listed.out.find("/pythia.so") + std::string("/pythia.so").size();
  const std::size_t begin = listed.out.rfind('\t', end) + 1;
  const Result result = pergola({"plugins", "inspect", listed.out.substr(begin, end - begin)});
  expect_success(result);
  for (const char* line :
       {"# width of the features; where it is 0, the data set gives it (at least 1, at most "
        "65536)\n"
        "image_feature_dim = 2048\n",
        "\n# scores of question and image\n[model_config.pythia.classifier]\n# (logit)\n"
        "type = \"logit\"\n",
        "#   params.channels: conv_grid: channels of each convolution"}) {
    EXPECT_THAT(result.out, HasSubstr(line));
  }
  EXPECT_THAT(pergola({"list", "models"}).out,
              HasSubstr("    image_feature_dim = 2048\twidth of the features; where it is 0"));
}

TEST_F(CommandsTest, ListShowsEveryKind) {
  const std::map<std::string, std::string> expected = {{"models", "boring\t"},
                                                       {"losses", "cross_entropy\thost\t"},
                                                       {"metrics", "vqa_accuracy\thost\t"},
                                                       {"optimizers", "adamax\thost\t"},
                                                       {"schedulers", "warmup_cosine\thost\t"},
                                                       {"datasets", "easy_vqa\thost\t"},
                                                       {"processors", "vqa_answer\thost\t"}};
  for (const auto& [kind, line] : expected) {
    const Result result = pergola(with_good({"list", kind}));
    expect_success(result);
    EXPECT_THAT(result.out, HasSubstr(line));
    EXPECT_EQ(result.err, "");
  }
  expect_success(pergola({"list", "callbacks"}));
}

TEST_F(CommandsTest, ListWarnsOfTwoPluginsWithOneKey) {
  write("plugins/boring.so", read_file(fixture_plugin("good")));
  write("plugins/copy.so", read_file(fixture_plugin("duplicate_key")));
  const Result result = pergola({"list", "models", "--plugin-path", "plugins"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("warning: [plugin] model 'boring' is offered by two plugins, "
                                    "plugins/boring.so and plugins/copy.so; take one of them out"));
}

TEST_F(CommandsTest, ListHasTheParamsWithTheirDefaults) {
  EXPECT_THAT(pergola({"list", "losses"}).out,
              HasSubstr("\n    label_smoothing = 0.0\tthe share of each target that is spread over "
                        "all classes (at least 0, at most 1)\n"));
  const std::string models = pergola(with_good({"list", "models"})).out;
  EXPECT_THAT(models, HasSubstr("\n    hidden_dim = 16\n"));
}

TEST_F(CommandsTest, ConfigShowSaysWhereEachValueComesFrom) {
  write("base.toml", "training.seed = 5\ntraining.batch_size = 3\n");
  write("boring.toml", "include = [\"base.toml\"]\n" + text("boring.toml"));
  const Result result = pergola({"config", "show", "boring.toml", "training.max_updates=9"});
  expect_success(result);
  EXPECT_THAT(result.out, ContainsRegex("seed = 5 +# base.toml:1:17\n"));
  EXPECT_THAT(result.out, ContainsRegex("batch_size = 8 +# boring.toml:[0-9]+:[0-9]+\n"));
  EXPECT_THAT(result.out, ContainsRegex("max_updates = 9 +# command line\n"));
  EXPECT_THAT(result.out, ContainsRegex("pin_memory = true +# defaults\n"));
  EXPECT_THAT(result.out, ContainsRegex("hidden_dim = 16 +# .*good"));
  write("shown.toml", result.out);  // and is a config itself
  expect_success(pergola({"config", "show", "shown.toml"}));
}

TEST_F(CommandsTest, DoctorFindsNothingWrongHere) {
  const Result result = pergola(with_good({"doctor"}));
  expect_success(result);
  for (const char* line : {"[pergola] 0.1.0 in ", "[build] ", "[cuda] ", "[plugin] good 0.1.0 in ",
                           "[disk] ", "nothing would stop a run\n"}) {
    EXPECT_THAT(result.out, HasSubstr(line));
  }
}

TEST_F(CommandsTest, DoctorWarnsOfAPluginThatIsRefused) {
  write("plugins/broken.so", "no library");
  const Result result = doctor("plugins", "data");
  expect_success(result);  // only a run that needs this one would be stopped
  EXPECT_THAT(result.out, HasSubstr("[plugin] warning: "));
  EXPECT_THAT(result.out, HasSubstr("plugins/broken.so"));
  EXPECT_THAT(result.out, HasSubstr("1 warning(s); nothing would stop a run\n"));
}

TEST_F(CommandsTest, DoctorWarnsOfTwoPluginsWithOneKey) {
  write("plugins/boring.so", read_file(fixture_plugin("good")));
  EXPECT_THAT(doctor("plugins", "data").out, ::testing::Not(HasSubstr("offered by two plugins")));
  write("plugins/copy.so", read_file(fixture_plugin("duplicate_key")));
  const Result result = doctor("plugins", "data");
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("[plugin] warning: model 'boring' is offered by two plugins, "
                                    "plugins/boring.so and plugins/copy.so; take one of them out"));
}

TEST_F(CommandsTest, DoctorWarnsOfADataSetThatIsMissing) {
  const std::string good = fixture_folder("good").string();
  EXPECT_THAT(doctor(good, "data").out, HasSubstr("[data] easy_vqa in data/easy_vqa\n"));
  EXPECT_THAT(doctor(good, "nowhere").out,
              HasSubstr("[data] warning: data set 'easy_vqa' has no folder nowhere/easy_vqa; fetch "
                        "it with `tools/setup --data easy_vqa`"));
  fs::remove_all(path("data/easy_vqa/test"));
  EXPECT_THAT(doctor(good, "data").out, HasSubstr("has no folder data/easy_vqa/test; fetch it"));
}

TEST_F(CommandsTest, DoctorLooksForEveryPartOfTheDataSet) {
  const std::string good = fixture_folder("good").string();
  for (const std::string part : {"train/questions.json", "test/questions.json", "train/images",
                                 "test/images", "answers.txt"}) {
    fs::rename(path("data/easy_vqa/" + part), path("part"));
    const Result result = doctor(good, "data");
    EXPECT_EQ(result.exit_code, kDone);
    EXPECT_THAT(result.out,
                ContainsRegex("\\[data\\] warning: data set 'easy_vqa' has no (file|folder) "
                              "data/easy_vqa/" +
                              part + "; fetch it with `tools/setup"));
    fs::rename(path("part"), path("data/easy_vqa/" + part));
  }
}

TEST_F(CommandsTest, CheckpointInspectShowsProgressModelAndTensors) {
  expect_success(train({"training.max_updates=2", "run_type=train"}));
  const Result result = pergola({"checkpoint", "inspect", "run/checkpoints/last"});
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("model = \"boring\"\n"));
  EXPECT_THAT(result.out, HasSubstr("update = 2"));
  EXPECT_THAT(result.out, HasSubstr("  words.weight\tFloat\t[1024, 16]\n"));
  // 1024 x 16 words, and a linear layer from 3 colours + 16 to 5 answers and the unknown one.
  EXPECT_THAT(result.out, HasSubstr("model: 3 tensors, 16504 elements, 66016 bytes\n"));
}

TEST_F(CommandsTest, CheckpointVerifyListsEveryFile) {
  expect_success(train({"training.max_updates=2", "run_type=train"}));
  const Result result = pergola({"checkpoint", "verify", "run/checkpoints/best"});
  expect_success(result);
  for (const char* file : {"model.safetensors", "state.json", "trainer.safetensors"}) {
    EXPECT_THAT(result.out, ContainsRegex(std::string("ok\t[0-9]+\t[0-9a-f]{32}\t") + file + "\n"));
  }
}

TEST_F(CommandsTest, RunStandsForItsBestWhereACheckpointIsNamed) {
  expect_success(train({"training.max_updates=2", "run_type=train"}));
  fs::remove_all(path("run/checkpoints/last"));
  const Result inspected = pergola({"checkpoint", "inspect", "run"});
  expect_success(inspected);
  EXPECT_THAT(inspected.out, HasSubstr("checkpoint = \"run/checkpoints/best\"\n"));
  expect_success(pergola({"checkpoint", "convert", "run", "weights.safetensors"}));
  const Result tested = pergola({"test", "boring.toml", "--checkpoint", "run"});
  expect_success(tested);
  EXPECT_THAT(tested.err, HasSubstr("[checkpoint] weights of run/checkpoints/best\n"));
  const Result begun = pergola({"train", "boring.toml", "--run-dir", "other",
                                "checkpoint.pretrained=run", "training.max_updates=1"});
  expect_success(begun);
  EXPECT_THAT(begun.err, HasSubstr("[pretrained] run/checkpoints/best: took "));
}

TEST_F(CommandsTest, PredictRefusesASplitThatIsNone) {
  expect_error(pergola({"predict", "boring.toml", "--split", "train"}), kConfig,
               {"--split train", "expected val or test"});
}

TEST_F(CommandsTest, CudaWithoutAGpuIsRefused) {
  if (fs::exists("/proc/driver/nvidia/version"))
    GTEST_SKIP() << "this machine has an NVIDIA driver";
  expect_error(train({"--device", "cuda"}), kConfig,
               {"device 'cuda' cannot be used", "use --device cpu", "pergola doctor"});
  expect_nothing_half_written();
}

TEST_F(CommandsTest, AutoFallsBackToTheCpuWithOneLine) {
  if (fs::exists("/proc/driver/nvidia/version"))
    GTEST_SKIP() << "this machine has an NVIDIA driver";
  const Result result = train({"--device", "auto", "training.max_updates=1", "run_type=train"});
  expect_success(result);
  const std::string line = "[device] training on the CPU: ";
  EXPECT_THAT(result.err, HasSubstr(line));
  EXPECT_EQ(result.err.find(line, result.err.find(line) + 1), std::string::npos);
}

TEST_F(CommandsTest, ResultThatCannotBeWrittenIsAnError) {
  Launch launch = CommandsTest::launch({"list", "losses"});
  launch.prepare = [] { ::close(1); };
  EXPECT_EQ(run(launch).exit_code, kUnexpected);
}

}  // namespace
}  // namespace pergola::test
