// SPDX-License-Identifier: BSD-3-Clause
// The published data sets, from their own files by tools/convert_annotations to a run of the
// config that comes along. The files are small and the model is, too; all else is as written.
#include "fixtures/npy_bytes.h"
#include "integration/run_test.h"

#include <algorithm>
#include <random>
#include <sstream>

namespace pergola::test {
namespace {

using fixtures::npy_of;
using ::testing::HasSubstr;

constexpr int kRows = 6;  // of each split

std::string lines_of(const std::vector<Json>& rows) {
  std::string lines;
  for (const Json& row : rows) lines += row.dump() + "\n";
  return lines;
}

class RecipesTest : public RunTest {
 protected:
  RecipesTest() {
    write("data/bert-base-uncased/vocab.txt",
          "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nis\nit\na\ncat\n?\n");
  }

  // The folder of a BERT as Hugging Face published it, of the size that the runs below have.
  void write_bert() const {
    Json header;
    std::string data;
    std::minstd_rand random;
    const auto add = [&](const std::string& name, const std::vector<int>& shape) {
      const std::size_t begin = data.size();
      int count = 1;
      for (const int size : shape) count *= size;
      for (int i = 0; i < count; ++i) {
        const float value = static_cast<float>(random() % 200) / 100 - 1;
        data.append(reinterpret_cast<const char*>(&value), sizeof(value));
      }
      header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, data.size()}}};
    };
    const auto add_linear = [&](const std::string& name, int out, int in) {
      add(name + ".weight", {out, in});
      add(name + ".bias", {out});
    };
    const auto add_norm = [&](const std::string& name) {
      for (const char* end : {".LayerNorm.gamma", ".LayerNorm.beta"}) add(name + end, {8});
    };
    add("bert.embeddings.word_embeddings.weight", {10, 8});
    add("bert.embeddings.position_embeddings.weight", {512, 8});
    add("bert.embeddings.token_type_embeddings.weight", {2, 8});
    add_norm("bert.embeddings");
    for (const char* layer : {"bert.encoder.layer.0", "bert.encoder.layer.1"}) {
      const std::string name = layer;
      for (const char* part : {"query", "key", "value"}) {
        add_linear(name + ".attention.self." + part, 8, 8);
      }
      add_linear(name + ".attention.output.dense", 8, 8);
      add_norm(name + ".attention.output");
      add_linear(name + ".intermediate.dense", 12, 8);
      add_linear(name + ".output.dense", 8, 12);
      add_norm(name + ".output");
    }
    add_linear("bert.pooler.dense", 8, 8);
    add("cls.predictions.bias", {10});
    add("model.classifier.1.bias", {2});  // fits the head of all three, but is not asked for
    const std::string text = header.dump();
    std::string length(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(text.size() >> (8 * i));
    write("data/bert-base-uncased/model.safetensors", length + text + data);
  }

  [[nodiscard]] Result convert(const std::string& data_set, const Words& more = {}) const {
    Launch launch;
    launch.command = {PERGOLA_TOOLS "/convert_annotations", data_set, "published",
                      "data/" + data_set};
    launch.command.insert(launch.command.end(), more.begin(), more.end());
    launch.folder = path("");
    return test::run(launch);
  }

  // `pergola COMMAND <config of the data set> MORE`, with data in this folder.
  [[nodiscard]] Result with_config(const std::string& command, const std::string& data_set,
                                   const Words& more = {}) const {
    Words words = command == "train" ? Words{"train"} : Words{"config", "show"};
    words.push_back(PERGOLA_CONFIGS "/runs/visual_bert_" + data_set + ".toml");
    words.emplace_back("env.data_dir=" + path("data").string());
    words.insert(words.end(), more.begin(), more.end());
    return pergola(words);
  }

  // Two updates of a small model that begins with write_bert's weights; at a rate that shows in
  // them.
  [[nodiscard]] Result train_small(const std::string& data_set, const Words& more = {}) const {
    const std::string model = "model_config.visual_bert.";
    Words words = {"--run-dir",
                   "run",
                   "--device",
                   "cpu",
                   "training.num_threads=1",
                   "training.num_workers=0",
                   "training.batch_size=2",
                   "training.update_frequency=2",
                   "training.max_updates=2",
                   "optimizer.params.lr=0.01",
                   "scheduler.params.num_warmup_steps=1",
                   model + "hidden_size=8",
                   model + "num_hidden_layers=2",
                   model + "num_attention_heads=2",
                   model + "intermediate_size=12"};
    words.insert(words.end(), more.begin(), more.end());
    return with_config("train", data_set, words);
  }
  // All of BERT but the head: 5 of the embeddings, 16 a layer, 2 of the pooler.
  void expect_bert_taken() const {
    EXPECT_THAT(text("run/log.txt"), HasSubstr("bert-base-uncased: took 39 of the model's "));
    EXPECT_THAT(text("run/log.txt"), HasSubstr(" 2 left out of it"));
    EXPECT_THAT(text("run/log.txt"), HasSubstr("  cls.predictions.bias "));
    EXPECT_THAT(text("run/log.txt"), HasSubstr("  model.classifier.1.bias "));
  }

  void write_features(const std::string& data_set, const std::string& name) const {
    write("data/" + data_set + "/features/" + name + ".npy",
          npy_of(std::vector<float>(3 * 2048, 0.5F), 2048));
  }

  // The lines of `config show` that set keys, without where they come from.
  void expect_shown(const std::string& data_set, const Words& lines) const {
    const Result shown = with_config("show", data_set);
    expect_success(shown);
    for (const std::string& line : lines) {
      EXPECT_THAT(shown.out, HasSubstr("\n" + line + "  # ")) << data_set;
    }
  }
  // What all three recipes of MMF have in common (projects/visual_bert/configs).
  void expect_common_recipe(const std::string& data_set) const {
    expect_shown(data_set,
                 {"max_seq_length = 128", "max_features = 100", "type = \"adam_w\"", "lr = 5e-05",
                  "eps = 1e-08", "type = \"warmup_linear\"", "lr_scheduler = true",
                  "visual_embedding_dim = 2048", "hidden_dropout_prob = 0.1"});
  }
};

TEST_F(RecipesTest, Vqa2) {
  std::vector<Json> questions;
  std::vector<Json> annotations;
  for (int i = 0; i < kRows; ++i) {
    questions.push_back({{"question_id", 10 + i}, {"image_id", i}, {"question", "is it a cat?"}});
    Json answers = Json::array();
    for (int k = 0; k < 10; ++k) answers.push_back({{"answer", k < 7 ? "Yes" : "no"}});
    annotations.push_back(
        {{"question_id", 10 + i}, {"answers", answers}, {"multiple_choice_answer", "Yes"}});
    for (const char* year : {"train2014", "val2014"}) {
      write_features("vqa2", "COCO_" + std::string(year) + "_00000000000" + std::to_string(i));
    }
  }
  for (const std::string year : {"train2014", "val2014"}) {
    write("published/v2_OpenEnded_mscoco_" + year + "_questions.json",
          Json({{"questions", questions}}).dump());
    write("published/v2_mscoco_" + year + "_annotations.json",
          Json({{"annotations", annotations}}).dump());
  }
  expect_success(convert("vqa2"));
  EXPECT_EQ(text("data/vqa2/answers.txt"), "yes\n");  // twelve times
  EXPECT_FALSE(std::filesystem::exists(path("data/vqa2/test.jsonl")));
  const Json row =
      Json::parse(text("data/vqa2/val.jsonl").substr(0, text("data/vqa2/val.jsonl").find('\n')));
  EXPECT_EQ(row.at("id"), 10);
  EXPECT_EQ(row.at("features"), "COCO_val2014_000000000000.npy");
  EXPECT_EQ(row.at("answers").size(), 10U);

  write_bert();
  expect_success(train_small("vqa2"));
  expect_bert_taken();
  EXPECT_TRUE(json("run/summary.json").at("metrics").contains("val/image_text/vqa_accuracy"));
  EXPECT_THAT(text("run/log.txt"), HasSubstr("best so far: val/image_text/vqa_accuracy"));
  expect_common_recipe("vqa2");
  expect_shown("vqa2", {"training_head_type = \"classification\"", "pooler_strategy = \"vqa\"",
                        "losses = [\"logit_bce\"]", "batch_size = 60", "update_frequency = 8",
                        "max_updates = 60000", "num_warmup_steps = 6000",
                        "num_training_steps = 60000", "metrics = [\"vqa_accuracy\"]"});
}

TEST_F(RecipesTest, Nlvr2) {
  for (const std::string split : {"train", "dev", "test1"}) {
    std::vector<Json> rows;
    for (int i = 0; i < kRows; ++i) {
      const std::string images = split + "-" + std::to_string(i) + "-0";
      rows.push_back({{"identifier", images + "-1"},
                      {"sentence", "it is a cat"},
                      {"label", i % 2 == 0 ? "True" : "False"}});
      for (const char* image : {"-img0", "-img1"}) write_features("nlvr2", images + image);
    }
    write("published/" + split + ".json", lines_of(rows));
  }
  expect_success(convert("nlvr2"));
  const std::string first =
      text("data/nlvr2/train.jsonl").substr(0, text("data/nlvr2/train.jsonl").find('\n'));
  EXPECT_EQ(Json::parse(first), Json({{"id", "train-0-0-1"},
                                      {"sentence", "it is a cat"},
                                      {"features", {"train-0-0-img0.npy", "train-0-0-img1.npy"}},
                                      {"label", 1}}));

  write_bert();
  expect_success(train_small("nlvr2"));
  expect_bert_taken();
  EXPECT_TRUE(json("run/summary.json").at("metrics").contains("test/image_text/accuracy"));
  expect_common_recipe("nlvr2");
  expect_shown("nlvr2",
               {"training_head_type = \"nlvr2\"", "num_labels = 2", "paired = true",
                "losses = [\"cross_entropy\"]", "batch_size = 60", "update_frequency = 8",
                "max_updates = 60000", "num_warmup_steps = 6000", "num_training_steps = 60000"});
}

TEST_F(RecipesTest, HatefulMemes) {
  for (const std::string split : {"train", "dev_unseen", "test_unseen"}) {
    std::vector<Json> rows;
    for (int i = 0; i < kRows; ++i) {
      const std::string name = "0" + std::to_string(i);
      rows.push_back({{"id", i}, {"img", "img/" + name + ".png"}, {"label", i % 2}});
      rows.back()["text"] = "a cat";
      write_features("hateful_memes", name);
    }
    write("published/" + split + ".jsonl", lines_of(rows));
  }
  expect_success(convert("hateful_memes"));
  const std::string first = text("data/hateful_memes/test.jsonl")
                                .substr(0, text("data/hateful_memes/test.jsonl").find('\n'));
  EXPECT_EQ(Json::parse(first),
            Json({{"id", 0}, {"text", "a cat"}, {"features", "00.npy"}, {"label", 0}}));

  write_bert();
  expect_success(train_small("hateful_memes"));
  expect_bert_taken();
  const Json metrics = json("run/summary.json").at("metrics");
  for (const char* metric : {"accuracy", "binary_f1", "roc_auc"}) {
    EXPECT_TRUE(metrics.contains(std::string("test/image_text/") + metric)) << metric;
  }
  EXPECT_THAT(text("run/log.txt"), HasSubstr("best so far: val/image_text/roc_auc"));
  expect_common_recipe("hateful_memes");
  // The same with what the recipe leaves to defaults, which MMF has, too; and with the mapping that
  // configs/README.md has, of the file's own names.
  std::filesystem::rename(path("run"), path("first"));
  expect_success(train_small(
      "hateful_memes",
      {"checkpoint.pretrained_state_mapping={\"model.bert\" = \"bert\"}",
       "optimizer.params.weight_decay=0.01",
       "dataset_config.image_text.processors.text_processor.params.mask_probability=0.0"}));
  expect_bert_taken();
  EXPECT_TRUE(same_bytes(weights("first"), weights("run")));
  expect_shown(
      "hateful_memes",
      {"training_head_type = \"classification\"", "pooler_strategy = \"default\"", "num_labels = 2",
       "losses = [\"cross_entropy\"]", "batch_size = 64", "update_frequency = 1",
       "max_updates = 22000", "num_warmup_steps = 2000", "num_training_steps = 22000"});
}

TEST_F(RecipesTest, PublishedFilesThatAreNotAreNamed) {
  EXPECT_THAT(convert("nlvr2").err, HasSubstr("published has no file of nlvr2's train split"));
  write("published/train.json", "{\"identifier\": \"a\"}\n");
  EXPECT_THAT(convert("nlvr2").err, HasSubstr("train.json:1: 'sentence' is missing"));
  write("published/train.json", "[1]\n");
  EXPECT_THAT(convert("nlvr2").err, HasSubstr("train.json:1 cannot be read as the published file"));
  EXPECT_THAT(listing("data/nlvr2"), ::testing::IsEmpty());

  write("published/train.jsonl", R"({"id": 1, "img": "img/1.png", "text": "a", "label": 0})");
  expect_success(convert("hateful_memes", {"--images"}));
  EXPECT_THAT(text("data/hateful_memes/train.jsonl"), HasSubstr(R"("image": "img/1.png")"));
  const Result again = convert("hateful_memes");
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err, HasSubstr("train.jsonl is there already, and is not replaced"));
}

// The host lowers A to Z alone: of the vocabulary's "é" and a row's "É" it would make two answers.
TEST_F(RecipesTest, AnswersOfVqaAreInTheHostsForm) {
  Json annotations = Json::array();
  for (int i = 0; i < 12; ++i) {
    annotations.push_back({{"question_id", 3},
                           {"answers", Json::array({{{"answer", "a"}}})},
                           {"multiple_choice_answer", " \u00c9, Yes?"}});
  }
  write("published/v2_mscoco_train2014_annotations.json",
        Json({{"annotations", annotations}}).dump());
  write("published/v2_OpenEnded_mscoco_train2014_questions.json",
        R"({"questions": [{"question_id": 3, "question": "a", "image_id": 7}]})");
  expect_success(convert("vqa2"));
  EXPECT_EQ(text("data/vqa2/answers.txt"), "\u00c9 yes\n");
}

// One line on stderr that has the words, no traceback; and nothing in the folder.
TEST_F(RecipesTest, WhatARowLacksIsToldWithItsPlace) {
  const auto expect_refused = [&](const std::string& data_set, const std::string& words) {
    const Result result = convert(data_set);
    EXPECT_EQ(result.exit_code, 1) << words;
    EXPECT_THAT(result.err, ::testing::StartsWith("tools/convert_annotations: published/"));
    EXPECT_THAT(result.err, HasSubstr(words));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_THAT(listing("data/" + data_set), ::testing::IsEmpty());
  };
  const std::string meme = R"({"id": 1, "img": "img/1.png", "text": "a", "label": 0})";
  const std::string first = meme + "\n\n";
  write("published/train.jsonl", first + R"({"id": 2, "img": "2.png", "text": "a \ud83d b"})");
  expect_refused("hateful_memes", "train.jsonl:3: a text has half of a surrogate pair");
  write("published/train.jsonl", first + R"({"id": 2, "img")" + "\n" + meme);
  expect_refused("hateful_memes",
                 "train.jsonl:3: no JSON, Expecting ':' delimiter at column 16; is this");
  write("published/train.jsonl", first + "{\"id\": \"\xff\"}");
  expect_refused("hateful_memes", "train.jsonl:3 cannot be read as the published file: 'utf-8'");
  write("published/train.jsonl", first + std::string(100000, '['));
  expect_refused("hateful_memes", "train.jsonl:3: JSON that is nested too deeply");

  const std::string questions = "published/v2_OpenEnded_mscoco_train2014_questions.json";
  const std::string annotations = "published/v2_mscoco_train2014_annotations.json";
  const auto annotate = [&](int question, const std::string& answer) {
    write(annotations, R"({"annotations": [{"question_id": )" + std::to_string(question) +
                           R"(, "answers": [], "multiple_choice_answer": ")" + answer + "\"}]}");
  };
  annotate(3, "a");
  for (const char* image : {"\"7\"", "true", "-1", "7.0", "null"}) {
    write(questions, std::string(R"({"questions": [{"question_id": 3, "question": "a", )") +
                         R"("image_id": )" + image + "}]}");
    expect_refused("vqa2", questions + ", questions[0]: the image_id is ");
  }
  write(questions, R"({"questions": [{"question_id": 3, "question": "a", "image_id": 7}]})");
  annotate(4, "a");
  expect_refused("vqa2", annotations + " has no annotation of question_id 3, which " + questions +
                             " has; take both files from one release");
  annotate(3, R"(\ud83d)");
  expect_refused("vqa2", "annotations[0]: a text has half of a surrogate pair");
  write(annotations, R"({"annotations": )" + std::string(100000, '['));
  expect_refused("vqa2", annotations + ": JSON that is nested too deeply");
  write(annotations, R"({"annotations": {}})");
  expect_refused("vqa2", annotations + " cannot be read as the published file: 'annotations'");
  write(annotations, "{\n\n 1}");
  expect_refused("vqa2", " at line 3, column 2; is this");
}

TEST_F(RecipesTest, LabelsOfNlvr2AreTrueOrFalse) {
  const auto row = [](const std::string& label) {
    return R"({"identifier": "a-0-1", "sentence": "a", "label": )" + label + "}\n";
  };
  write("published/train.json", row("true") + row("false") + row(R"("TRUE")") + row(R"("false")"));
  expect_success(convert("nlvr2"));
  std::istringstream lines(text("data/nlvr2/train.jsonl"));
  std::vector<int> labels;
  for (std::string line; std::getline(lines, line);) {
    labels.push_back(Json::parse(line).at("label").get<int>());
  }
  EXPECT_EQ(labels, (std::vector<int>{1, 0, 1, 0}));

  std::filesystem::remove_all(path("data/nlvr2"));
  for (const char* label : {"1", "0", "null", "\"yes\"", "\"\""}) {
    write("published/train.json", row("true") + row(label));
    EXPECT_THAT(convert("nlvr2").err, HasSubstr("train.json:2: the label is ")) << label;
    EXPECT_THAT(listing("data/nlvr2"), ::testing::IsEmpty());
  }
}

TEST_F(RecipesTest, AllFilesAreWrittenOrNone) {
  const std::string meme = R"({"id": 1, "img": "img/1.png", "text": "a", "label": 0})";
  for (const char* split : {"train", "dev_unseen", "test_unseen"}) {
    write(std::string("published/") + split + ".jsonl", meme);
  }
  write("data/hateful_memes/test.jsonl", "mine");
  EXPECT_THAT(convert("hateful_memes").err, HasSubstr("test.jsonl is there already"));
  EXPECT_EQ(listing("data/hateful_memes"), Words{"test.jsonl"});
  EXPECT_EQ(text("data/hateful_memes/test.jsonl"), "mine");

  std::filesystem::remove(path("data/hateful_memes/test.jsonl"));
  std::filesystem::create_directory(path("data/hateful_memes/val.jsonl.part"));
  EXPECT_EQ(convert("hateful_memes").exit_code, 1);
  EXPECT_EQ(listing("data/hateful_memes"), Words{"val.jsonl.part/"});
  std::filesystem::remove(path("data/hateful_memes/val.jsonl.part"));
  expect_success(convert("hateful_memes"));
  EXPECT_EQ(listing("data/hateful_memes"), (Words{"test.jsonl", "train.jsonl", "val.jsonl"}));
}

}  // namespace
}  // namespace pergola::test
