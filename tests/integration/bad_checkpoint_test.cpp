// SPDX-License-Identifier: BSD-3-Clause
// Checkpoints that are wrong: exit code 5, and which file is wrong and how.
#include "integration/run_test.h"

#include <linux/capability.h>
#include <sys/prctl.h>

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
    // Root looks into everything, unless it gives that up.
    closed.prepare = [] {
      ::prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE);
      ::prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH);
    };
    expect_error(run(closed), kCheckpoint, {"run/checkpoints", "Permission denied"});
  }
  fs::permissions(path("run/checkpoints"), fs::perms::owner_all);
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
  expect_refused({"model.safetensors"});
}

TEST_F(BadCheckpoint, ManifestThatIsMissing) {
  fs::remove(path("run/checkpoints/last/MANIFEST.json"));
  expect_refused({"run/checkpoints/last has no MANIFEST.json", "use another checkpoint"});
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
      {"the weights do not fit the model: words.weight is [1024, 16], the model has [1024, 8]"});
  EXPECT_EQ(text("run/config.toml"), config);
  EXPECT_EQ(text("run/metrics.jsonl"), metrics);
}

TEST_F(BadCheckpoint, OfAnotherOptimizerIsRefused) {
  expect_error(train({"--resume", "optimizer={type=\"adamax\", params={lr=0.1}}"}), kCheckpoint,
               {"optimizer"});
}

}  // namespace
}  // namespace pergola::test
