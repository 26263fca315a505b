// SPDX-License-Identifier: BSD-3-Clause
// Checkpoints that are wrong: exit code 5, and which file is wrong and how.
#include "integration/run_test.h"

#include <regex>

namespace pergola::test {
namespace {

namespace fs = std::filesystem;

class BadCheckpoint : public RunTest {
 protected:
  BadCheckpoint() {
    EXPECT_EQ(train({"training.max_updates=2", "run_type=train"}).exit_code, kDone);
  }

  // Every command that reads a checkpoint says the same.
  void expect_refused(const Words& parts) const {
    const std::string before = text("run/summary.json");
    expect_error(pergola({"test", "boring.toml", "--checkpoint", kFolder}), kCheckpoint, parts);
    expect_error(pergola({"checkpoint", "inspect", kFolder}), kCheckpoint, parts);
    EXPECT_EQ(text("run/summary.json"), before);
  }
  static constexpr const char* kFolder = "run/checkpoints/last";
  static constexpr const char* kModel = "run/checkpoints/last/model.safetensors";
};

TEST_F(BadCheckpoint, FolderThatIsMissing) {
  fs::remove_all(path(kFolder));
  expect_refused({"there is no checkpoint folder run/checkpoints/last"});
}

TEST_F(BadCheckpoint, RunThatIsMissing) {
  expect_error(pergola({"test", "boring.toml", "--run-dir", "nowhere"}), kCheckpoint,
               {"there is no checkpoint in nowhere", "--checkpoint"});
  EXPECT_FALSE(fs::exists(path("nowhere")));
}

TEST_F(BadCheckpoint, BestThatACrashLeftAsideIsStillTaken) {
  fs::rename(path("run/checkpoints/best"), path("run/checkpoints/.old-best-4194305"));
  fs::remove_all(path(kFolder));
  expect_success(pergola({"test", "boring.toml", "--run-dir", "run"}));
}

TEST_F(BadCheckpoint, FolderThatIsClosedIsNoMissingCheckpoint) {
  fs::permissions(path("run/checkpoints"), fs::perms::none);
  for (const Words& words : {Words{"test", "boring.toml", "--run-dir", "run"},
                             Words{"train", "boring.toml", "--run-dir", "run", "--resume"}}) {
    Launch closed = launch(words);
    closed.prepare = &drop_root_override;
    expect_error(run(closed), kCheckpoint, {"run/checkpoints", "Permission denied"});
  }
  fs::permissions(path("run/checkpoints"), fs::perms::owner_all);
}

// Whoever closed the folder is told before the training, and not to give up what is in it.
TEST_F(BadCheckpoint, OnesThatCannotBeReplacedAreRefusedBeforeTraining) {
  expect_success(train({"--resume", "training.max_updates=3"}));  // saves an update_* as well
  const Words more = {"--resume", "training.max_updates=6"};
  const auto refused = [&](const char* closed, fs::perms perms, const Words& parts) {
    const auto before = listing("run");
    Launch closed_to_us = train_launch(more);
    closed_to_us.prepare = &drop_root_override;
    fs::permissions(path(closed), perms);
    const Result result = run(closed_to_us);
    fs::permissions(path(closed), fs::perms::owner_all);
    expect_error(result, kCheckpoint, parts);
    EXPECT_THAT(result.err, ::testing::Not(::testing::HasSubstr("[train] update")));
    EXPECT_THAT(result.err,
                ::testing::Not(::testing::AnyOf(::testing::HasSubstr("--overwrite"),
                                                ::testing::HasSubstr("remove the folder"))));
    EXPECT_EQ(listing("run"), before);
  };
  const auto read_only = fs::perms::owner_read | fs::perms::owner_exec;
  refused("run/checkpoints", read_only,
          {"cannot make the folder run/checkpoints/.tmp-last-", "check its permissions"});
  for (const char* closed : {"run/checkpoints/last", "run/checkpoints/best"}) {
    for (const fs::perms perms : {read_only, fs::perms::none}) {
      refused(closed, perms,
              {std::string("cannot replace the checkpoint ") + closed + ": Permission denied",
               "check its permissions"});
    }
  }
  fs::remove_all(path("run/checkpoints/best"));
  fs::remove_all(path("run/checkpoints/update_00000003"));
  refused("run/checkpoints/last/model.safetensors", fs::perms::none,
          {"model.safetensors: Permission denied", "overwrite nothing before that can be read"});
  expect_success(train(more));
}

TEST_F(BadCheckpoint, DamagedLastLeavesAWholeBestThatIsNamed) {
  for (const auto& entry : fs::directory_iterator(path("run/checkpoints"))) {
    if (entry.path().filename().string().starts_with("update_")) fs::remove_all(entry.path());
  }
  replace(kModel, "short");
  const Result result = train({"--resume"});
  expect_error(result, kCheckpoint,
               {"run/checkpoints/best is whole and is kept",
                "`pergola test CONFIG --checkpoint run/checkpoints/best`"});
  EXPECT_THAT(result.err, ::testing::Not(::testing::HasSubstr("--overwrite")));
  expect_success(pergola({"test", "boring.toml", "--checkpoint", "run/checkpoints/best"}));
}

TEST_F(BadCheckpoint, FileThatIsMissing) {
  fs::remove(path(kModel));
  expect_refused({"model.safetensors is missing; use another checkpoint"});
  const Result verified = pergola({"checkpoint", "verify", kFolder});
  EXPECT_EQ(verified.exit_code, kCheckpoint) << verified;
  EXPECT_THAT(verified.out,
              ::testing::ContainsRegex("MISSING\t[0-9]+\t[0-9a-f]{32}\tmodel.safetensors\n"));
}

TEST_F(BadCheckpoint, FolderOfCheckpointsInItsPlaceIsToldWhatToName) {
  for (const Words& words : {Words{"checkpoint", "verify", "run/checkpoints"},
                             Words{"checkpoint", "inspect", "run/checkpoints"},
                             Words{"test", "boring.toml", "--checkpoint", "run/checkpoints"}}) {
    expect_error(pergola(words), kCheckpoint,
                 {"run/checkpoints is no checkpoint, but has some in it; name one of them, such as "
                  "run/checkpoints/last"});
  }
}

TEST_F(BadCheckpoint, VerifyOfARunLooksAtAllThatItHasAndNamesTheBad) {
  replace(kModel, "short");  // of `last`
  fs::create_directory(path("run/checkpoints/update_00000002"));
  const Result result = pergola({"checkpoint", "verify", "run"});
  EXPECT_EQ(result.exit_code, kCheckpoint) << result;
  EXPECT_THAT(result.err,
              ::testing::HasSubstr("run/checkpoints/last/model.safetensors is damaged"));
  for (const char* line : {"ok\t[0-9]+\t[0-9a-f]{32}\tbest/model.safetensors\n",
                           "BAD\t[0-9]+\t[0-9a-f]{32}\tlast/model.safetensors\n",
                           "ok\t[0-9]+\t[0-9a-f]{32}\tlast/state.json\n",
                           "BAD\t0\t-\tupdate_00000002/MANIFEST.json\n"}) {
    EXPECT_THAT(result.out, ::testing::ContainsRegex(line));
  }
}

TEST_F(BadCheckpoint, VerifyOfARunWithoutAny) {
  fs::create_directories(path("empty/checkpoints"));
  expect_error(pergola({"checkpoint", "verify", "empty"}), kCheckpoint,
               {"there is no checkpoint in empty/checkpoints; train first"});
}

TEST_F(BadCheckpoint, ManifestThatIsMissing) {
  fs::remove(path("run/checkpoints/last/MANIFEST.json"));
  expect_refused({"run/checkpoints/last has no MANIFEST.json", "use another checkpoint"});
}

TEST_F(BadCheckpoint, ManifestThatIsNoJsonIsNoFileToCorrect) {
  std::string manifest = text("run/checkpoints/last/MANIFEST.json");
  manifest[0] ^= 0x01;  // one flipped bit
  replace("run/checkpoints/last/MANIFEST.json", manifest);
  expect_refused({"last/MANIFEST.json is damaged: it is not valid JSON; use another checkpoint\n"});
}

// A name may be anything that fits into a file; what a terminal obeys must not reach it.
TEST_F(BadCheckpoint, ControlCharactersInTheNameOfATensorAreNotPrinted) {
  std::string model = text(kModel);
  model.replace(model.find("words.weight"), 12, "\\u001bweight");  // of the same length
  replace(kModel, model);
  const std::string error = pergola({"checkpoint", "verify", kFolder}).err;
  std::smatch hashes;
  ASSERT_TRUE(std::regex_search(
      error, hashes, std::regex("hash is ([0-9a-f]{32}), and MANIFEST.json says ([0-9a-f]{32})")));
  std::string manifest = text("run/checkpoints/last/MANIFEST.json");
  manifest.replace(manifest.find(hashes[2].str()), 32, hashes[1].str());
  replace("run/checkpoints/last/MANIFEST.json", manifest);
  const Result result = pergola({"checkpoint", "inspect", kFolder});
  expect_success(result);
  EXPECT_THAT(result.out, ::testing::HasSubstr("  \\x1bweight\tFloat\t[1024, 16]\n"));
  EXPECT_THAT(result.out, ::testing::Not(::testing::HasSubstr("\x1b")));
}

TEST_F(BadCheckpoint, FileThatIsTruncated) {
  replace(kModel, text(kModel).substr(0, 1000));
  expect_refused(
      {"model.safetensors is damaged: it has 1000 bytes, and MANIFEST.json says ", "use another"});
}

TEST_F(BadCheckpoint, OneFlippedByte) {
  std::string bytes = text(kModel);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x01);
  replace(kModel, bytes);
  expect_refused({"model.safetensors is damaged: its XXH3-128 hash is ", "MANIFEST.json says "});
}

TEST_F(BadCheckpoint, VerifyListsEveryFileAndWhichAreBad) {
  replace(kModel, "short");
  const Result result = pergola({"checkpoint", "verify", kFolder});
  EXPECT_EQ(result.exit_code, kCheckpoint) << result;
  EXPECT_THAT(result.out, ::testing::HasSubstr("BAD\t"));
  EXPECT_THAT(result.out, ::testing::ContainsRegex("ok\t[0-9]+\t[0-9a-f]{32}\tstate.json"));
  EXPECT_THAT(result.out,
              ::testing::ContainsRegex("ok\t[0-9]+\t[0-9a-f]{32}\ttrainer.safetensors"));
  EXPECT_THAT(result.err, ::testing::HasSubstr("model.safetensors is damaged"));
}

TEST_F(BadCheckpoint, OfAnotherModelIsRefusedByTest) {
  expect_error(pergola({"test", "cnn_lstm.toml", "--checkpoint", kFolder}), kCheckpoint,
               {"the checkpoint is of model \"boring\", the config asks for 'cnn_lstm'"});
}

TEST_F(BadCheckpoint, OfAnotherModelIsRefusedByResumeAndTheRunIsAsBefore) {
  const auto files = {"run/config.toml", "run/summary.json", "run/metrics.jsonl", kModel};
  std::vector<std::string> before;
  for (const char* file : files) before.push_back(text(file));
  expect_error(train({"--resume"}, "cnn_lstm"), kCheckpoint,
               {"the checkpoint is of model \"boring\""});
  std::vector<std::string> after;
  for (const char* file : files) after.push_back(text(file));
  EXPECT_EQ(after, before);
}

TEST_F(BadCheckpoint, OfOtherSizesIsRefusedAndTheRunIsAsBefore) {
  const std::string config = text("run/config.toml");
  const std::string metrics = text("run/metrics.jsonl");
  expect_error(
      train({"--resume", "model_config.boring.hidden_dim=8"}), kCheckpoint,
      {"the weights do not fit the model in ", "words.weight ", "[1024, 16]", "[1024, 8]"});
  EXPECT_EQ(text("run/config.toml"), config);
  EXPECT_EQ(text("run/metrics.jsonl"), metrics);
}

TEST_F(BadCheckpoint, OfAnotherOptimizerIsRefused) {
  expect_error(train({"--resume", "optimizer={type=\"adamax\", params={lr=0.1}}"}), kCheckpoint,
               {"optimizer"});
}

// As many words, and two of them changed: the scores of one would be those of the other.
TEST_F(BadCheckpoint, OfOtherWordsIsRefusedWhereverNumbersWouldMeanOthers) {
  const std::string answers = text("data/easy_vqa/answers.txt");
  const std::string first = answers.substr(0, answers.find('\n') + 1);
  const std::string metrics = text("run/metrics.jsonl");
  replace("data/easy_vqa/answers.txt", answers.substr(first.size()) + first);
  const std::string was = " was \"" + first.substr(0, first.size() - 1) + "\" and is \"";
  for (const char* command : {"test", "validate", "predict"}) {
    expect_error(
        pergola({command, "boring.toml", "--run-dir", "run"}), kCheckpoint,
        {"the checkpoint was trained with other words than answer_processor of data set "
         "'easy_vqa' has: number 1" +
             was,
         "now (6 words then, 6 now), so that its answers would mean others; the words "
         "come from \"answers.txt\" (dataset_config.easy_vqa.processors.answer_processor."
         "params.vocab_file); put back what was there when it was trained, or train anew"});
  }
  expect_error(train({"--resume"}), kCheckpoint, {"other words than answer_processor", was});
  EXPECT_EQ(text("run/metrics.jsonl"), metrics);
  EXPECT_THAT(listing("run"), ::testing::Not(::testing::Contains("predictions/")));
  replace("data/easy_vqa/answers.txt", answers);
  expect_success(pergola({"predict", "boring.toml", "--run-dir", "run"}));

  std::string questions = text("data/easy_vqa/train/questions.json");
  for (std::size_t at = 0; (at = questions.find("color", at)) != std::string::npos;) {
    questions.replace(at, 5, "tint?");
  }
  replace("data/easy_vqa/train/questions.json", questions);
  expect_error(train({"--resume"}), kCheckpoint,
               {"other words than text_processor", "number 7 was \"color\" and is \"red\" now",
                "the training split of data set 'easy_vqa' (env.data_dir = "});
}

}  // namespace
}  // namespace pergola::test
