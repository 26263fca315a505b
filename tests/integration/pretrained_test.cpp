// SPDX-License-Identifier: BSD-3-Clause
// Weights from elsewhere: `checkpoint inspect`, `checkpoint convert`, and a training that starts
// from them.
#include "integration/run_test.h"

#include <sys/stat.h>

namespace pergola::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string golden(const std::string& name) {
  return std::string(PERGOLA_GOLDEN_DIR) + "/torch_files/" + name;
}

class PretrainedRunTest : public RunTest {
 protected:
  // A run of two updates whose weights the others start from.
  void SetUp() override {
    expect_success(train({"training.max_updates=2", "run_type=train"}));
    std::filesystem::rename(path("run"), path("first"));
  }
  // One update at a rate that moves nothing.
  [[nodiscard]] Result start_from(const std::string& weights, Words more = {}) const {
    more.insert(more.end(), {"checkpoint.pretrained=" + weights, "training.max_updates=1",
                             "optimizer.params.lr=0", "run_type=train", "training.seed=77"});
    return train(more);
  }
};

// That may be meant: the weights are a beginning.
TEST_F(PretrainedRunTest, WeightsOfOtherWordsAreTakenWithAWarning) {
  const std::string answers = text("data/easy_vqa/answers.txt");
  const std::string first = answers.substr(0, answers.find('\n') + 1);
  replace("data/easy_vqa/answers.txt", answers.substr(first.size()) + first);
  const Result result = start_from("first/checkpoints/last");
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("warning: [pretrained] the checkpoint was trained with other "
                                    "words than answer_processor of data set 'easy_vqa' has: "));
}

TEST_F(PretrainedRunTest, ATrainingStartsFromTheWeightsOfACheckpoint) {
  const Result result = start_from("first/checkpoints/last");
  expect_success(result);
  EXPECT_THAT(result.err, Not(HasSubstr("other words")));
  EXPECT_TRUE(same_bytes(weights("first"), weights("run")));
  EXPECT_THAT(
      result.err,
      AllOf(HasSubstr("[pretrained] first/checkpoints/last: took 3 of the model's 3 weights "
                      "(Pergola checkpoint); 0 missing in it, 0 left out of it"),
            Not(HasSubstr("what is missing"))));
}

TEST_F(PretrainedRunTest, ConvertedWeightsAreTheSame) {
  const Result result =
      pergola({"checkpoint", "convert", "first/checkpoints/best", "out.safetensors"});
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("out.safetensors: 3 tensors, "));
  EXPECT_TRUE(same_bytes("first/checkpoints/best/model.safetensors", "out.safetensors"));
  expect_success(start_from("out.safetensors"));
  EXPECT_TRUE(same_bytes(weights("first"), weights("run")));
}

TEST_F(PretrainedRunTest, WhatTheFileDoesNotHaveIsAWarningWithATable) {
  const Result result = start_from("first/checkpoints/last",
                                   {"checkpoint.pretrained_state_mapping={words = \"words\"}"});
  expect_success(result);
  EXPECT_THAT(result.err, AllOf(HasSubstr("took 1 of the model's 3 weights"),
                                HasSubstr("what is missing in the file begins with values that the "
                                          "model gives it:"),
                                HasSubstr("  missing  ")));
  EXPECT_FALSE(same_bytes(weights("first"), weights("run")));
}

TEST_F(PretrainedRunTest, AResumedRunDoesNotReadThemAgain) {
  expect_success(start_from("first/checkpoints/last"));
  std::filesystem::remove_all(path("first"));
  const Result result = start_from("first/checkpoints/last", {"--resume"});
  expect_success(result);
  EXPECT_THAT(result.err, Not(HasSubstr("[pretrained]")));
}

TEST_F(PretrainedRunTest, WeightsThatCannotBeUsedStopTheRunBeforeItBegins) {
  expect_error(start_from("nothing.pth"), kCheckpoint, {"nothing.pth", "No such file"});
  expect_error(start_from(golden("refused/module.pt")), kCheckpoint,
               {"holds torch.nn.modules.linear.Linear, which is no tensor or plain data"});
  expect_error(start_from(golden("mmf.pt")), kCheckpoint,
               {"none of the 2 weights in ", "MMF checkpoint", "pretrained_state_mapping"});
  expect_nothing_half_written();
}

TEST_F(RunTest, CheckpointInspectShowsFilesOfOthers) {
  const Result result = pergola({"checkpoint", "inspect", golden("mmf.pt")});
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("format: MMF checkpoint (its 'model'), PyTorch file (ZIP)\n"));
  EXPECT_THAT(result.out, HasSubstr("num_updates = 3\n"));
  // Four floats and one.
  EXPECT_THAT(result.out, HasSubstr("weights: 2 tensors, 5 elements, 20 bytes\n"
                                    "  model.bert.weight\tFloat\t[2, 2]\n"));
  EXPECT_THAT(pergola({"checkpoint", "inspect", golden("sharded_bin")}).out,
              HasSubstr("weights: 3 tensors, 4 elements, 16 bytes\n"));
}

TEST_F(RunTest, CheckpointConvertReplacesNothing) {
  write("old.safetensors", "old");
  std::filesystem::create_directory(path("folder"));
  // A node of its own, as a user's /dev/null: root could put a file in its place.
  ASSERT_EQ(::mkfifo(path("node").c_str(), 0600), 0);
  for (const char* there : {"old.safetensors", "folder", "node"}) {
    expect_error(pergola({"checkpoint", "convert", golden("views.pt"), there}), kCheckpoint,
                 {std::string("there is something at ") + there + " already; name a file that"});
  }
  EXPECT_EQ(text("old.safetensors"), "old");
  EXPECT_TRUE(std::filesystem::is_fifo(path("node")));
}

TEST_F(RunTest, CheckpointConvertWritesAFileWholeOrNotAtAll) {
  expect_error(pergola({"checkpoint", "convert", golden("refused/sparse.pt"), "out.safetensors"}),
               kCheckpoint, {"holds torch._utils._rebuild_sparse_tensor, which"});
  expect_error(pergola({"checkpoint", "convert", golden("dtypes.pt"), "out.safetensors"}),
               kCheckpoint, {"cannot write out.safetensors", "safetensors has F64"});
  EXPECT_FALSE(std::filesystem::exists(path("out.safetensors")));
  expect_success(pergola({"checkpoint", "convert", golden("views.pt"), "out.safetensors"}));
  EXPECT_THAT(pergola({"checkpoint", "inspect", "out.safetensors"}).out,
              HasSubstr("format: safetensors\nformat = \"pt\"\nweights: 11 tensors, "));
  expect_error(pergola({"checkpoint", "convert", "out.safetensors"}), kConfig,
               {"OUT is missing; usage: pergola checkpoint"});
}

// What a plugin's manifest says of Hugging Face's names, in both directions: fixture `elsewhere`,
// which calls from_pretrained() in build().
TEST_F(RunTest, AModelsNamesAtHuggingFaceAreInItsManifest) {
  write("elsewhere.toml", common_config() + "model = \"elsewhere\"\nplugins.path = [\"" +
                              fixture_folder("elsewhere").string() + "\"]\n");
  const Words two_updates = {"training.max_updates=2", "run_type=train"};
  expect_success(train(two_updates, "elsewhere"));
  std::filesystem::rename(path("run"), path("first"));
  expect_success(pergola({"checkpoint", "convert", "--to", "hf", "first", "out", "--plugin-path",
                          fixture_folder("elsewhere").string()}));
  EXPECT_THAT(pergola({"checkpoint", "inspect", "out"}).out,
              AllOf(HasSubstr("format: Hugging Face folder"), HasSubstr("colour.answer.weight\t"),
                    Not(HasSubstr("body."))));
  EXPECT_THAT(pergola({"plugins", "inspect", fixture_plugin("elsewhere").string()}).out,
              HasSubstr("# at Hugging Face: ColourModel\n"));
  EXPECT_EQ(json("out/config.json").at("channels"), 3);
  EXPECT_EQ(json("out/config.json").at("id2label").at("1"), "red");  // 0 is the unknown one

  const Words same = {"training.max_updates=1", "run_type=train", "training.seed=77",
                      "optimizer.params.lr=0"};
  for (const std::string key : {"model_config.elsewhere.start", "checkpoint.pretrained"}) {
    Words words = same;
    words.push_back(key + "=" + path("out").string());
    words.emplace_back("--overwrite");
    expect_success(train(words, "elsewhere"));
    EXPECT_TRUE(same_bytes(weights("first"), weights("run"))) << key;
  }
}

// Two tables of them, and the numbers of the places.
TEST_F(RunTest, PositionTablesOfAnotherLengthAreTakenOnRequest) {
  const Words one_update = {"training.max_updates=1", "run_type=train"};
  expect_success(train(one_update, "visual_bert"));
  std::filesystem::rename(path("run"), path("first"));
  Words longer = one_update;
  longer.insert(longer.end(), {"--overwrite", "checkpoint.pretrained=first/checkpoints/last",
                               "model_config.visual_bert.max_position_embeddings=32"});
  expect_error(train(longer, "visual_bert"), kCheckpoint,
               {"has 3 of 62 weights in other shapes than the model",
                "set checkpoint.pretrained_resize_positions = true"});
  Words without = longer;
  without.emplace_back("checkpoint.bypass_shape_mismatch=true");
  expect_success(train(without, "visual_bert"));
  // The third is the row of places, which the model makes itself.
  EXPECT_THAT(text("run/log.txt"),
              HasSubstr("took 59 of the model's 61 weights (Pergola checkpoint); 2 missing in it, "
                        "3 left out of it"));
  longer.emplace_back("checkpoint.pretrained_resize_positions=true");
  expect_success(train(longer, "visual_bert"));
  EXPECT_THAT(text("run/log.txt"), AllOf(HasSubstr("took 62 of the model's 62 weights"),
                                         HasSubstr(", 3 got another length")));
}

// `model = {pretrained = "..."}`: the model, its sizes and its weights are those of another
// training.
TEST_F(RunTest, AModelComesWholeFromACheckpoint) {
  const Words short_run = {"training.max_updates=1", "run_type=train"};
  expect_success(train(short_run, "visual_bert"));
  std::filesystem::rename(path("run"), path("first"));
  for (const std::string from : {"first", "first/checkpoints/last"}) {
    write("second.toml", common_config() + "model = { pretrained = \"" + from + "\" }\n");
    Words words = short_run;
    words.emplace_back("--overwrite");
    expect_success(train(words, "second"));
    EXPECT_THAT(text("run/log.txt"),
                HasSubstr("took 62 of the model's 62 weights (Pergola checkpoint); 0 missing"));
    EXPECT_THAT(text("run/config.toml"), HasSubstr("hidden_size = 8  # "));  // and no default
  }
  // The run needs it no more, and another cannot begin.
  write("second.toml", common_config() + "model = { pretrained = \"first\" }\n");
  std::filesystem::rename(path("first"), path("moved"));
  expect_success(pergola({"test", "second.toml", "--run-dir", "run"}));
  expect_success(train({"--resume", "training.max_updates=2", "run_type=train"}, "second"));
  expect_error(pergola({"train", "second.toml", "--run-dir", "third"}), kConfig,
               {"model.pretrained = 'first' does not exist, so it does not say which model"});
  std::filesystem::rename(path("moved"), path("first"));
  // A run that began with something else does not stand in for a path that is misspelt.
  write("second.toml", common_config() + "model = { pretrained = \"frist\" }\n");
  expect_error(train({"--overwrite"}, "second"), kConfig,
               {"model.pretrained = 'frist' does not exist"});
  write("second.toml", common_config() + "model = { pretrained = \"first/log.txt\" }\n");
  expect_error(pergola({"train", "second.toml", "--run-dir", "third"}), kConfig,
               {"model.pretrained = 'first/log.txt' is no checkpoint of Pergola",
                "model = {type = \"name\", pretrained = \"path\"}"});
  write("second.toml", common_config() + "model = { type = \"pythia\", pretrained = \"first\" }\n");
  expect_error(train({"--overwrite"}, "second"), kCheckpoint, {"first"});
}

}  // namespace
}  // namespace pergola::test
