// SPDX-License-Identifier: BSD-3-Clause
// Where a run begins that goes on from a checkpoint which the config names, and what of it is left
// out.
#include "integration/run_test.h"

#include <gmock/gmock.h>

#include <sstream>

namespace pergola::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ResumeFileTest : public RunTest {
 protected:
  [[nodiscard]] Json state(const std::string& run) const {
    return json(run + "/checkpoints/last/state.json");
  }
};

// With a rate of almost nothing no validation is better than the one at update 4.
TEST_F(ResumeFileTest, ResumeBestGoesOnFromTheBestOne) {
  expect_success(train({"training.max_updates=4"}));
  expect_success(train({"--resume", "optimizer.params.lr=1e-30"}));
  ASSERT_EQ(state("run").at("progress").at("update"), 12);
  const Result result = train({"--resume", "checkpoint.resume_best=true"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("[resume] from run/checkpoints/best at update 4 of 12: took "
                                    "weights, optimizer, counts"));
}

// What came after the best one is of a branch that the run has left, and not to be gone on from.
TEST_F(ResumeFileTest, ResumeBestForgetsWhatCameAfterIt) {
  expect_success(train({"training.max_updates=4"}));
  expect_success(train({"--resume", "optimizer.params.lr=1e-30"}));
  const Result result =
      train({"--resume", "checkpoint.resume_best=true", "training.max_updates=8"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("[resume] removed run/checkpoints/update_00000012, for the run "
                                    "goes on from update 4"));
  replace("run/checkpoints/last/state.json", "x");
  const Result next = train({"--resume"});
  expect_success(next);
  EXPECT_THAT(next.err, HasSubstr("[resume] from run/checkpoints/update_00000006 at update 6"));
}

TEST_F(ResumeFileTest, WithoutItsStateTheOptimizerMayBeAnother) {
  expect_success(train({"training.max_updates=6"}));
  const Words other = {"--resume", "optimizer={type=\"sgd\", params={lr=0.1}}"};
  expect_error(train(other), kCheckpoint, {"optimizer.type = \"sgd\" (it was \"adamw\")"});
  Words reset = other;
  reset.emplace_back("checkpoint.reset.optimizer=true");
  const Result result = train(reset);
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("left out optimizer"));
}

TEST_F(ResumeFileTest, LinesOfTheMetricsThatAreLostAreTold) {
  expect_success(train({"training.max_updates=6"}));
  EXPECT_THAT(train({"--resume", "training.max_updates=7"}).err, Not(HasSubstr("are lost")));
  std::filesystem::remove(path("run/metrics.jsonl"));
  const Result result = train({"--resume", "training.max_updates=8"});
  expect_success(result);
  // A line for each update, and the validations at 4, 6 and 7.
  EXPECT_THAT(result.err,
              HasSubstr("warning: [resume] run/metrics.jsonl has 0 of the 10 lines that "
                        "were written up to this checkpoint; the others are lost\n"));
}

TEST_F(ResumeFileTest, ResumeBestMakesDoWithTheNewest) {
  expect_success(train({"training.max_updates=6"}));
  std::filesystem::remove_all(path("run/checkpoints/best"));
  const Result result = train({"--resume", "checkpoint.resume_best=true"});
  expect_success(result);
  EXPECT_THAT(result.err,
              HasSubstr("goes on from its newest checkpoint, because `best` cannot be used: "));
  EXPECT_THAT(result.err, HasSubstr("[resume] from run/checkpoints/last at update 6 of 12"));
}

TEST_F(ResumeFileTest, ResumeFileGoesOnInAnotherFolderToTheSameBytes) {
  expect_success(train());
  expect_success(pergola({"train", "boring.toml", "--run-dir", "half", "training.max_updates=6"}));
  const Result result = pergola({"train", "boring.toml", "--run-dir", "other",
                                 "checkpoint.resume_file=half/checkpoints/last"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("[resume] from half/checkpoints/last at update 6 of 12"));
  EXPECT_TRUE(same_bytes(weights("other"), weights("run")));
}

// With a rate of almost nothing no validation is better than the one at update 4.
TEST_F(ResumeFileTest, AResumeFileThatIsARunGoesOnWhereThatRunWould) {
  const auto half = [&](const Words& more) {
    Words words = {"train", "boring.toml", "--run-dir", "half"};
    words.insert(words.end(), more.begin(), more.end());
    expect_success(pergola(words));
  };
  half({"training.max_updates=4"});
  half({"--resume", "training.max_updates=6", "optimizer.params.lr=1e-30"});
  const auto begin = [&](const std::string& run, const std::string& best) {
    return pergola({"train", "boring.toml", "--run-dir", run, "run_type=train",
                    "checkpoint.resume_file=half", "checkpoint.resume_best=" + best});
  };
  EXPECT_THAT(begin("last", "false").err, HasSubstr("from half/checkpoints/last at update 6 of"));
  EXPECT_THAT(begin("best", "true").err, HasSubstr("from half/checkpoints/best at update 4 of"));

  std::filesystem::remove(path("half/checkpoints/last/MANIFEST.json"));
  EXPECT_THAT(begin("kept", "false").err,
              HasSubstr("from half/checkpoints/update_00000006 at update 6 of"));
  for (const char* name : {"last", "update_00000003", "update_00000006"}) {
    std::filesystem::remove_all(path("half/checkpoints") / name);
  }
  expect_error(begin("none", "false"), kCheckpoint,
               {"there is neither `last` nor an `update_*` in half/checkpoints",
                "let checkpoint.resume_file name another checkpoint, such as "
                "half/checkpoints/best"});
}

// The lines of `text` that begin with `start`.
std::string lines_with(const std::string& text, const std::string& start) {
  std::istringstream lines(text);
  std::string found;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(start)) found += line + '\n';
  }
  return found;
}

TEST_F(ResumeFileTest, ARunThatIsOverwrittenByOneFromItsOwnLastHasCheckpoints) {
  expect_success(train());
  const std::string before = text(weights());
  for (const char* end : {"12", "14"}) {  // nothing is left to train; two updates are
    const Result result = train({"--overwrite", "checkpoint.resume_file=run/checkpoints/last",
                                 "training.max_updates=" + std::string(end)});
    expect_success(result);
    EXPECT_THAT(result.err, HasSubstr("[resume] from run/checkpoints/last at update 12 of "));
    expect_success(pergola({"checkpoint", "verify", "run/checkpoints/last"}));
    EXPECT_EQ(text(weights()) == before, end == std::string("12"));
  }
}

TEST_F(ResumeFileTest, ARunOfItsOwnIsResumedBeforeResumeFile) {
  expect_success(pergola({"train", "boring.toml", "--run-dir", "half", "training.max_updates=6"}));
  expect_success(train({"training.max_updates=9"}));
  const Result result = train({"--resume", "checkpoint.resume_file=half"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("[resume] from run/checkpoints/last at update 9 of 12"));
}

TEST_F(ResumeFileTest, ARunOfItsOwnIsResumedBeforeAResumeFileOfWeightsAlone) {
  expect_success(train({"training.max_updates=4"}));
  const Result result = train({"--resume", "checkpoint.resume_file=" + weights()});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("[resume] from run/checkpoints/last at update 4 of 12: took "
                                    "weights, optimizer, counts, callbacks"));
  EXPECT_THAT(result.err, Not(HasSubstr("takes its weights")));
}

TEST_F(ResumeFileTest, AResumeFileOfWeightsAloneBeginsAtUpdateZero) {
  expect_success(train({"training.max_updates=4"}));
  const Result result = pergola({"train", "boring.toml", "--run-dir", "other",
                                 "checkpoint.resume_file=" + weights(), "run_type=train"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("is no checkpoint of Pergola: takes its weights, and leaves "
                                    "out all else"));
  EXPECT_EQ(state("other").at("progress").at("update"), 12);
}

TEST_F(ResumeFileTest, EachResetThatHasNothingToResetIsNamed) {
  const Result result = train({"checkpoint.reset.counts=true", "training.max_updates=1"});
  expect_success(result);
  EXPECT_THAT(result.err,
              HasSubstr("warning: [resume] checkpoint.reset.counts has no effect, because there is "
                        "no checkpoint to go on from"));
  EXPECT_THAT(result.err, Not(HasSubstr("resume_best")));
}

// As MMF does, where the folder has no run of its own.
TEST_F(ResumeFileTest, AnEvaluationTakesResumeFile) {
  expect_success(pergola({"train", "boring.toml", "--run-dir", "half", "training.max_updates=6"}));
  const std::string scores = pergola({"test", "boring.toml", "--run-dir", "half"}).out;
  const auto test_from = [&](const std::string& key) {
    const Result result = pergola({"test", "boring.toml", "--run-dir", "new", key});
    expect_success(result);
    return result;
  };
  for (const char* path : {"half", "half/checkpoints/best"}) {
    const Result result = test_from(std::string("checkpoint.resume_file=") + path);
    EXPECT_EQ(result.out, scores);
    EXPECT_THAT(result.err, HasSubstr("[checkpoint] weights of half/checkpoints/best\n"));
  }
  const std::string file = "half/checkpoints/best/model.safetensors";
  for (const char* key : {"checkpoint.resume_file=", "checkpoint.pretrained="}) {
    const Result result = test_from(key + file);
    EXPECT_THAT(result.err, HasSubstr("[pretrained] " + file + ": took 3 of the model's 3 "));
    EXPECT_THAT(result.out, HasSubstr("updates 0\n"));  // nobody says how many
    EXPECT_EQ(lines_with(result.out, "test/"), lines_with(scores, "test/"));
  }
  const Result named = pergola({"test", "boring.toml", "--run-dir", "new", "--checkpoint", file});
  EXPECT_EQ(lines_with(named.out, "test/"), lines_with(scores, "test/"));
  expect_error(
      pergola({"test", "boring.toml", "--run-dir", "new", "checkpoint.resume_file=nowhere"}),
      kCheckpoint, {"checkpoint.resume_file = \"nowhere\" is not there"});
}

// A head that nobody trained would be measured.
TEST_F(ResumeFileTest, AnEvaluationOfAPartOfTheWeightsIsRefused) {
  expect_success(pergola({"train", "boring.toml", "--run-dir", "half", "training.max_updates=1"}));
  expect_error(pergola({"test", "boring.toml", "--run-dir", "new",
                        "checkpoint.pretrained=half/checkpoints/last/model.safetensors",
                        "checkpoint.pretrained_state_mapping={words = \"words\"}"}),
               kCheckpoint,
               {"half/checkpoints/last/model.safetensors has no classifier.",
                " and 1 more, and weights "
                "that nobody trained measure nothing; train first"});
}

// A config that began with another run's weights still evaluates what it trained.
TEST_F(ResumeFileTest, AnEvaluationSaysWhyItLeavesResumeFile) {
  expect_success(pergola({"train", "boring.toml", "--run-dir", "half", "training.max_updates=6"}));
  expect_success(train({"checkpoint.resume_file=half"}));
  const Result result =
      pergola({"test", "boring.toml", "--run-dir", "run", "checkpoint.resume_file=half"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("[checkpoint] weights of run/checkpoints/best\n"));
  EXPECT_THAT(result.err,
              HasSubstr("warning: [checkpoint] checkpoint.resume_file has no effect, because run "
                        "has checkpoints of its own; to evaluate it, name it with --checkpoint "
                        "half\n"));
}

TEST_F(ResumeFileTest, AResumeFileThatIsNotThereIsSaidSo) {
  expect_error(train({"checkpoint.resume_file=nowhere"}), kCheckpoint,
               {"checkpoint.resume_file = \"nowhere\" is not there", "name a checkpoint's folder"});
  expect_nothing_half_written();
}

// Its weights could be read, but the run would begin at update 0 without a word of the rest.
TEST_F(ResumeFileTest, AResumeFileThatWasNeverFinishedIsRefused) {
  expect_success(pergola({"train", "boring.toml", "--run-dir", "half", "training.max_updates=6"}));
  std::filesystem::remove(path("half/checkpoints/last/MANIFEST.json"));
  expect_error(train({"checkpoint.resume_file=half/checkpoints/last"}), kCheckpoint,
               {"half/checkpoints/last has no MANIFEST.json"});
}

TEST_F(ResumeFileTest, ResetsLeaveOutWhatTheySay) {
  expect_success(pergola({"train", "boring.toml", "--run-dir", "half", "training.max_updates=6"}));
  const auto begin = [&](const std::string& run, const std::string& reset) {
    const Result result = pergola({"train", "boring.toml", "--run-dir", run, "run_type=train",
                                   "checkpoint.resume_file=half", "checkpoint.reset." + reset});
    expect_success(result);
    return result.err;
  };
  EXPECT_THAT(begin("counts", "counts=true"),
              HasSubstr("at update 0 of 12: took weights, optimizer; left out counts, callbacks, "
                        "random numbers (cpu)\n"));
  EXPECT_THAT(begin("optimizer", "optimizer=true"),
              HasSubstr("at update 6 of 12: took weights, counts, callbacks, random numbers (cpu); "
                        "left out optimizer\n"));
  EXPECT_THAT(begin("all", "all=true"), HasSubstr("at update 0 of 12: took weights; left out"));
}

// The model counts the batches that it was trained on.
TEST_F(ResumeFileTest, ResetAllLeavesOutWhatTheModelAdded) {
  write("goes_wrong.toml", common_config() + "model = \"goes_wrong\"\nplugins.path = [\"" +
                               fixture_folder("goes_wrong").string() + "\"]\n");
  const auto begin = [&](const std::string& run, const Words& more) {
    Words words = {"train", "goes_wrong.toml", "--run-dir", run, "run_type=train"};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = pergola(words);
    expect_success(result);
    return result.err;
  };
  begin("half", {"training.max_updates=6"});
  EXPECT_THAT(begin("all", {"checkpoint.resume_file=half", "checkpoint.reset.all=true"}),
              HasSubstr("took weights; left out the model's extras, optimizer, counts, "));
  EXPECT_EQ(state("all").at("extras").at("batches"), 12);
  EXPECT_THAT(begin("counts", {"checkpoint.resume_file=half", "checkpoint.reset.counts=true"}),
              HasSubstr("took weights, the model's extras, optimizer; left out counts, "));
  EXPECT_EQ(state("counts").at("extras").at("batches"), 18);
}

TEST_F(ResumeFileTest, CountsAreNotResetOverTheRunsOwnHistory) {
  expect_success(train({"training.max_updates=3"}));
  const std::string before = text("run/metrics.jsonl");
  expect_error(train({"--resume", "checkpoint.reset.counts=true"}), kConfig,
               {"would begin at update 0 over the run in run", "--run-dir"});
  EXPECT_EQ(text("run/metrics.jsonl"), before);
}

TEST_F(ResumeFileTest, AnotherOptimizerIsSentToItsReset) {
  expect_success(pergola({"train", "boring.toml", "--run-dir", "half", "training.max_updates=6"}));
  expect_success(
      pergola({"train", "boring.toml", "--run-dir", "other", "checkpoint.resume_file=half",
               "checkpoint.reset.optimizer=true", "checkpoint.reset.counts=true",
               "optimizer={type=\"sgd\", params={lr=0.1}}", "run_type=train"}));
}

}  // namespace
}  // namespace pergola::test
