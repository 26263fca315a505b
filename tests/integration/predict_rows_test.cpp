// SPDX-License-Identifier: BSD-3-Clause
// One sample, and checkpoints with other data than they were trained on, for a user's own rows.
#include "fixtures/npy_bytes.h"
#include "integration/predict_test.h"

#include <cmath>
#include <sstream>

namespace pergola::test {
namespace {

using fixtures::npy_of;
using ::testing::HasSubstr;

constexpr const char* kOwn = R"(
dataset = "image_text"
run_type = "train_test"
training.experiment_name = "own"
training.device = "cpu"
training.num_threads = 1
training.num_workers = 0
training.batch_size = 4
training.max_updates = 20
training.evaluation_interval = 0
optimizer = { type = "adamw", params = { lr = 0.01 } }
evaluation = { metrics = [], predict = true }
env.data_dir = "data"
model = "visual_bert"
[dataset_config.image_text]
annotations.val = ""
split_train.val = 0.25
images = { train = "pictures", val = "pictures", test = "pictures" }
features = { train = "regions", val = "regions", test = "regions" }
max_features = 4
image_size = [16, 16]
[model_config.visual_bert]
training_head_type = "classification"
hidden_size = 8
num_hidden_layers = 2
num_attention_heads = 2
intermediate_size = 12
max_position_embeddings = 24
initializer_range = 0.2
)";

constexpr const char* kVocabulary =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nwhat\ncol\n##our\nis\nit\n?\nred\n##dish\n";

class PredictOwnRows : public PredictTest {
 protected:
  // 16 rows of train, 4 of test; `row(i)` is what the i-th one has besides its text.
  void write_rows(const std::function<Json(int i)>& row) const {
    std::string rows[2];
    for (int i = 0; i < 20; ++i) {
      Json one = row(i);
      one["text"] = i % 2 == 0 ? "what colour is it?" : "is it reddish?";
      rows[i < 16 ? 0 : 1] += one.dump() + "\n";
      std::vector<float> values;
      for (int place = 0; place < 3 * (1 + i % 5); ++place) {
        values.push_back(static_cast<float>((i + place) % 3));
      }
      write("data/image_text/regions/" + std::to_string(i) + ".npy", npy_of(values, 3));
    }
    fs::create_directories(path("data/image_text/pictures"));
    for (const auto& each : fs::directory_iterator(path("data/easy_vqa/train/images"))) {
      fs::copy_file(each.path(), path("data/image_text/pictures") / each.path().filename());
    }
    write("data/image_text/train.jsonl", rows[0]);
    write("data/image_text/test.jsonl", rows[1]);
    write("data/image_text/vocab.txt", kVocabulary);
    write("own.toml", kOwn);
  }
  // Each row of the test split, asked one by one.
  void expect_rows_of_test() const {
    const Json rows = json("predictions/image_text_test.json");
    std::istringstream lines(text("asked/image_text/test.jsonl"));
    std::size_t i = 0;
    for (std::string line; std::getline(lines, line); ++i) {
      const Json row = Json::parse(line);
      Words words = {"--text", row.at("text")};
      const auto add = [&](const char* key, const std::string& option, const std::string& folder) {
        if (!row.contains(key)) return;
        const Json files = row[key].is_array() ? row[key] : Json::array({row[key]});
        for (const std::string file : files) {
          words.push_back(option);
          words.push_back("asked/image_text/" + folder + "/" + file);
        }
      };
      add("image", "--image", "pictures");
      add("features", "--features", "regions");
      expect_same_answer(answer(words), rows.at(i));
    }
    EXPECT_EQ(i, rows.size());
  }
  static std::string name(int i, const char* end) { return std::to_string(i) + end; }
};

TEST_F(PredictOwnRows, ClassesOfRegionFeaturesWithBertsVocabulary) {
  write_rows([](int i) {
    return Json{{"features", name(i, ".npy")}, {"label", i % 3 == 0 ? "red" : "other"}};
  });
  train_and_carry("own",
                  {"model_config.visual_bert.losses=[\"cross_entropy\"]",
                   "model_config.visual_bert.visual_embedding_dim=0",
                   "dataset_config.image_text.processors.text_processor={type=\"bert_tokenizer\", "
                   "params={vocab_file=\"vocab.txt\", max_seq_length=12}}"});
  fs::remove(path("asked/image_text/vocab.txt"));
  expect_rows_of_test();
  // Two classes, of which one holds.
  const Json top =
      answer({"--text", "is it red?", "--features", "asked/image_text/regions/3.npy"}).at("top");
  ASSERT_EQ(top.size(), 2U);
  EXPECT_NEAR(top[0].at("probability").get<double>() + top[1].at("probability").get<double>(), 1,
              1e-12);
  write("wide.npy", npy_of({1, 2, 3, 4}, 4));
  expect_error(ask({"--text", "what?", "--features", "wide.npy"}), kData,
               {"features wide.npy are 4 wide, expected 3"});
  write("bad.npy", "nothing");
  expect_error(ask({"--text", "what?", "--features", "bad.npy"}), kData, {"bad.npy"});
  expect_error(ask({"--text", "what?"}), ExitCode::kConfig, {"--features is missing"});
}

// Of one sample and of a split: JSON has no NaN, and null is no probability.
TEST_F(PredictOwnRows, ScoresThatAreNotFiniteAreAnErrorAndNoAnswer) {
  write_rows([](int i) { return Json{{"features", name(i, ".npy")}, {"label", i % 2}}; });
  const std::string width = "model_config.visual_bert.visual_embedding_dim=0";
  const std::string losses = "model_config.visual_bert.losses=[\"cross_entropy\"]";
  expect_success(train({losses, width}, "own"));
  const std::string predictions = text("run/predictions/image_text_test.json");
  write("asked.npy", npy_of({1, 0, 2}, 3));
  const std::string checkpoint = "run/checkpoints/best";
  std::string weights = text(checkpoint + "/model.safetensors");
  weights.replace(weights.size() - 4, 4, "\x00\x00\xc0\x7f", 4);  // nan
  replace_in_checkpoint(checkpoint, "model.safetensors", weights);
  expect_error(ask({"--text", "what colour is it?", "--features", "asked.npy"}, "run"), kNan,
               {"the scores of model 'visual_bert' are not finite numbers: the highest is nan in 1 "
                "of 1 sample, with the weights of run/checkpoints/",
                "look for nan and inf in the input (features above all), and in these weights"});
  expect_error(pergola({"predict", "own.toml", "--run-dir", "run", width}), kNan,
               {"the highest is nan in 4 of 4 samples of a batch"});
  for (const std::string command : {"validate", "test"}) {
    expect_error(
        pergola({command, "own.toml", "--run-dir", "run", width, losses}), kNan,
        {"/total_loss is not a finite number with the weights of run/checkpoints/best; look for"});
  }
  EXPECT_EQ(text("run/predictions/image_text_test.json"), predictions);  // and no half of another
}

// The words have the numbers that the weights were trained with, or the prediction is refused.
TEST_F(PredictOwnRows, OtherWordsOrClassesAreRefusedWithTheFileThatTheyAreOf) {
  write_rows([](int i) {
    return Json{{"features", name(i, ".npy")}, {"label", i % 2 == 0 ? "cat" : "dog"}};
  });
  const Words options = {
      "model_config.visual_bert.losses=[\"cross_entropy\"]",
      "model_config.visual_bert.visual_embedding_dim=0",
      "dataset_config.image_text.processors.text_processor={type=\"bert_tokenizer\", "
      "params={vocab_file=\"vocab.txt\", max_seq_length=12}}"};
  expect_success(train(options, "own"));
  Words predict = {"predict", "own.toml", "--run-dir", "run"};
  predict.insert(predict.end(), options.begin(), options.end());
  const std::string vocabulary = kVocabulary;
  std::string swapped = vocabulary;
  swapped.replace(swapped.find("col\n##our\n"), 10, "##our\ncol\n");
  replace("data/image_text/vocab.txt", swapped);
  expect_error(
      pergola(predict), kCheckpoint,
      {"other words than text_processor of data set 'image_text' has: number 6 was \"col\" "
       "and is \"##our\" now",
       "vocab.txt\" (dataset_config.image_text.processors.text_processor.params.vocab_file)"});
  replace("data/image_text/vocab.txt", vocabulary);
  for (const std::string split : {"train", "test"}) {
    std::string rows = text("data/image_text/" + split + ".jsonl");
    for (std::size_t at = 0; (at = rows.find("\"dog\"", at)) != std::string::npos;) {
      rows.replace(at, 5, "\"elk\"");
    }
    replace("data/image_text/" + split + ".jsonl", rows);
  }
  expect_error(pergola(predict), kCheckpoint,
               {"other words than answer_processor of data set 'image_text' has: number 1 was "
                "\"dog\" and is \"elk\" now (2 words then, 2 now)",
                "dataset_config.image_text.annotations.train = \"train.jsonl\", env.data_dir = "});
  predict.push_back("dataset_config.image_text.data_dir=" + path("data/image_text").string());
  expect_error(pergola(predict), kCheckpoint,
               {"annotations.train = \"train.jsonl\", dataset_config.image_text.data_dir = \"" +
                path("data/image_text").string() + "\")"});
}

TEST_F(PredictOwnRows, SoftAnswersOfPixelsWithMaskedTokens) {
  write_rows([](int i) {
    return Json{{"image", name(i, ".png")},
                {"answers", i % 3 == 0 ? Json{"red", "red", "dark red"} : Json{"blue", "green"}}};
  });
  train_and_carry(
      "own", {"model_config.visual_bert.losses=[\"logit_bce\"]",
              "model_config.visual_bert.image_encoder={type=\"grid\", params={channels=[4, 6]}}",
              "dataset_config.image_text.processors.answer_processor=\"vqa_answer\"",
              "dataset_config.image_text.processors.text_processor={type=\"masked_token\", "
              "params={vocab_file=\"vocab.txt\", max_seq_length=12, mask_probability=0.0}}"});
  expect_rows_of_test();
}

TEST_F(PredictOwnRows, PairsOfImagesWithNumbersOfClasses) {
  write_rows([](int i) {
    return Json{{"image", {name(i, ".png"), name((i + 1) % 20, ".png")}}, {"label", i % 2}};
  });
  train_and_carry(
      "own", {"model_config.visual_bert.losses=[\"cross_entropy\"]",
              "model_config.visual_bert.training_head_type=\"nlvr2\"",
              "model_config.visual_bert.image_encoder={type=\"grid\", params={channels=[4, 6]}}",
              "dataset_config.image_text.paired=true"});
  expect_rows_of_test();
  expect_error(ask({"--text", "what?", "--image", "asked/image_text/pictures/1.png"}),
               ExitCode::kConfig, {"--image is given once", "has 2; give --image FILE 2 times"});
}

TEST_F(PredictOwnRows, ImagesThatAreNotResizedKeepTheSizeOfTheData) {
  write_rows([](int i) { return Json{{"image", name(i, ".png")}, {"label", i % 2}}; });
  train_and_carry(
      "own", {"model_config.visual_bert.losses=[\"cross_entropy\"]",
              "model_config.visual_bert.image_encoder={type=\"grid\", params={channels=[4, 6]}}",
              "dataset_config.image_text.image_size=[]"});
  expect_rows_of_test();
}

}  // namespace
}  // namespace pergola::test
