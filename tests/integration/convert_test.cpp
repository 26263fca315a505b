// SPDX-License-Identifier: BSD-3-Clause
// `checkpoint convert --to hf`: folders with the names, shapes and config of Hugging Face's classes
// (tools/reference/hugging_face.py has them, and loads what is written here with from_pretrained);
// and which file the others are: safetensors, or torch.save's.
#include "fixtures/npy_bytes.h"
#include "integration/run_test.h"

#include <fstream>
#include <regex>
#include <set>

namespace pergola::test {
namespace {

using fixtures::npy_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kRun = R"(
dataset = "image_text"
run_type = "train_test"
training.experiment_name = "convert"
training.device = "cpu"
training.num_threads = 1
training.num_workers = 0
training.batch_size = 6
training.max_updates = 3
training.evaluation_interval = 0
optimizer = { type = "adam_w", params = { lr = 0.02 } }
env.data_dir = "data"
[dataset_config.image_text]
annotations.val = ""
split_train.val = 0.25
features = { train = "regions", val = "regions", test = "regions" }
max_features = 4
processors.answer_processor.params.vocab_file = "classes.txt"
[dataset_config.image_text.processors.text_processor]
type = "bert_tokenizer"
params = { vocab_file = "vocab.txt", max_seq_length = 10 }
)";

// The sizes of tools/reference/hugging_face.py.
std::string table_of(const std::string& model, const std::string& more) {
  return "[model_config." + model + "]\n" + more + R"(
hidden_size = 8
num_hidden_layers = 2
num_attention_heads = 2
intermediate_size = 12
max_position_embeddings = 24
hidden_dropout_prob = 0.05
initializer_range = 0.2
)";
}

constexpr const char* kLinear = R"(
visual_embedding_dim = 3
training_head_type = "classification"
classifier = "linear"
losses = ["cross_entropy"]
)";
constexpr const char* kClassifies = "training_head_type = \"classification\"\n";
constexpr const char* kMlp = R"(
visual_embedding_dim = 3
training_head_type = "classification"
losses = ["cross_entropy"]
)";

class ConvertTest : public RunTest {
 protected:
  ConvertTest() {
    write("data/image_text/vocab.txt",
          "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nwhat\ncolour\nis\nit\n?\n##s\nred\n");
    write("data/image_text/classes.txt", "red\ngreen\nblue\n");
    std::string train;
    std::string test;
    for (int i = 0; i < 24; ++i) {
      std::vector<float> values;
      for (int k = 0; k < 3 * (1 + i % 4); ++k) values.push_back(k % 3 == i % 3 ? 1.F : 0.1F);
      write("data/image_text/regions/" + std::to_string(i) + ".npy", npy_of(values, 3));
      static constexpr const char* kWords[] = {"red", "green", "blue"};
      const Json row = {{"id", i},
                        {"text", i % 2 == 0 ? "what colour is it?" : "is it red"},
                        {"features", std::to_string(i) + ".npy"},
                        {"label", kWords[i % 3]}};
      (i < 18 ? train : test) += row.dump() + "\n";
    }
    write("data/image_text/train.jsonl", train);
    write("data/image_text/test.jsonl", test);
  }

  void train_model(const std::string& options, const std::string& model = "visual_bert",
                   const Words& more = {}) const {
    replace("own.toml", "model = \"" + model + "\"" + kRun + table_of(model, options));
    expect_success(train(more, "own"));
  }

  [[nodiscard]] Result convert(const std::string& from = "run", const Words& more = {}) const {
    Words words = {"checkpoint", "convert", "--to", "hf", from, "out"};
    words.insert(words.end(), more.begin(), more.end());
    return pergola(words);
  }

  // The header of a safetensors file, a row a tensor.
  [[nodiscard]] Json header(const std::string& file) const {
    const std::string bytes = text(file);
    std::uint64_t length = 0;
    for (int i = 7; i >= 0; --i) length = length << 8 | static_cast<unsigned char>(bytes.at(i));
    return Json::parse(bytes.substr(8, length));
  }
  [[nodiscard]] std::string data(const std::string& file, const std::string& name) const {
    const Json known = header(file);
    const std::string bytes = text(file);
    const std::uint64_t begin = bytes.size() - data_size(known);
    const auto offsets = known.at(name).at("data_offsets").get<std::vector<std::uint64_t>>();
    return bytes.substr(begin + offsets[0], offsets[1] - offsets[0]);
  }
  static std::uint64_t data_size(const Json& header) {
    std::uint64_t end = 0;
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") continue;
      end = std::max(end, entry.at("data_offsets").at(1).get<std::uint64_t>());
    }
    return end;
  }

  // The folder `out` is of that class: its names and shapes, no more and no less.
  void expect_class(const std::string& name) const {
    std::ifstream file(PERGOLA_GOLDEN_DIR "/hugging_face.json");
    Json shapes;
    const Json written = header("out/model.safetensors");
    for (const auto& [key, entry] : written.items()) {
      if (key != "__metadata__") shapes[key] = entry.at("shape");
    }
    EXPECT_EQ(shapes, Json::parse(file).at(name));
    EXPECT_EQ(written.at("__metadata__"), Json({{"format", "pt"}}));
    EXPECT_EQ(json("out/config.json").at("architectures"), Json::array({name}));
  }
  void expect_same(const std::string& own, const std::string& theirs) const {
    EXPECT_EQ(data("run/checkpoints/best/model.safetensors", own),
              data("out/model.safetensors", theirs))
        << own;
  }
};

TEST_F(ConvertTest, AnswersOfTheLastWordAreQuestionAnswering) {
  train_model(std::string(kLinear) + "pooler_strategy = \"vqa\"\n");
  const Result result = convert();
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("out: VisualBertForQuestionAnswering, 45 tensors, "));
  EXPECT_THAT(result.err, AllOf(HasSubstr("[convert] pass visual_token_type_ids of 0"),
                                Not(HasSubstr("left out"))));
  expect_class("VisualBertForQuestionAnswering");
  expect_same("model.classifier.weight", "cls.weight");
  expect_same("model.bert.embeddings.projection.bias",
              "visual_bert.embeddings.visual_projection.bias");
  expect_same("model.bert.embeddings.token_type_embeddings_visual.weight",
              "visual_bert.embeddings.visual_token_type_embeddings.weight");
  expect_same("model.bert.encoder.layer.1.attention.self.key.weight",
              "visual_bert.encoder.layer.1.attention.self.key.weight");
}

TEST_F(ConvertTest, TheConfigIsThatOfTheTraining) {
  train_model(std::string(kLinear) + "bypass_transformer = true\nhidden_act = \"relu\"\n");
  expect_success(convert("run/checkpoints/last"));
  EXPECT_EQ(json("out/config.json"),
            Json({{"architectures", {"VisualBertForVisualReasoning"}},
                  {"attention_probs_dropout_prob", 0.1},
                  {"bypass_transformer", true},
                  {"hidden_act", "relu"},
                  {"hidden_dropout_prob", 0.05},
                  {"hidden_size", 8},
                  {"id2label", {{"0", "red"}, {"1", "green"}, {"2", "blue"}}},
                  {"initializer_range", 0.2},
                  {"intermediate_size", 12},
                  {"label2id", {{"red", 0}, {"green", 1}, {"blue", 2}}},
                  {"layer_norm_eps", 1e-12},
                  {"max_position_embeddings", 24},
                  {"model_type", "visual_bert"},
                  {"num_attention_heads", 2},
                  {"num_hidden_layers", 2},
                  {"pad_token_id", 0},
                  {"special_visual_initialize", true},
                  {"torch_dtype", "float32"},
                  {"type_vocab_size", 2},
                  {"visual_embedding_dim", 3},
                  {"vocab_size", 12}}));
}

TEST_F(ConvertTest, TheTokenizerComesAlongWhereTheCheckpointHasIt) {
  train_model(kMlp, "visual_bert",
              {"dataset_config.image_text.processors.text_processor.params.do_lower_case=false"});
  expect_success(convert());
  EXPECT_THAT(listing("out"), ElementsAre("config.json", "model.safetensors",
                                          "tokenizer_config.json", "vocab.txt"));
  EXPECT_EQ(text("out/vocab.txt"), text("data/image_text/vocab.txt"));
  EXPECT_EQ(json("out/tokenizer_config.json"), Json({{"do_lower_case", false},
                                                     {"model_max_length", 24},
                                                     {"tokenizer_class", "BertTokenizer"}}));
}

TEST_F(ConvertTest, AHeadThatTheyHaveNotIsLeftOutAndNamed) {
  train_model(kMlp);
  const Result result = convert();
  expect_success(result);
  expect_class("VisualBertModel");
  EXPECT_THAT(
      result.err,
      HasSubstr("[convert] VisualBertModel has no place for 6 weights, which were left out: "
                "model.classifier.0.LayerNorm.bias, model.classifier.0.LayerNorm.weight, "
                "model.classifier.0.dense.bias, model.classifier.0.dense.weight, "
                "model.classifier.1.bias, model.classifier.1.weight\n"));
}

TEST_F(ConvertTest, PretrainingHeadsStayWithTheirTiedNames) {
  train_model(
      "visual_embedding_dim = 3\n", "visual_bert",
      {"dataset_config.image_text.processors.text_processor={type = \"masked_token\", params = "
       "{vocab_file = \"vocab.txt\", max_seq_length = 10}}",
       "evaluation.metrics=[]", "run_type=train"});
  expect_success(convert("run/checkpoints/last"));
  expect_class("VisualBertForPreTraining");
  EXPECT_EQ(data("out/model.safetensors", "cls.predictions.decoder.weight"),
            data("out/model.safetensors", "visual_bert.embeddings.word_embeddings.weight"));
}

TEST_F(ConvertTest, MmbtsTextIsABert) {
  train_model(std::string(kClassifies) + "modal_hidden_size = 3\nlosses = [\"cross_entropy\"]\n",
              "mmbt");
  const Result result = convert();
  expect_success(result);
  expect_class("BertModel");
  expect_same("model.bert.mmbt.transformer.pooler.dense.weight", "pooler.dense.weight");
  EXPECT_THAT(result.err, HasSubstr("model.bert.mmbt.modal_encoder.proj_embeddings.weight"));
  // The image's tables are the text's, and so they are not missing.
  const Result again =
      pergola({"train", "own.toml", "--run-dir", "again", "checkpoint.pretrained=out",
               "training.max_updates=1", "run_type=train"});
  expect_success(again);
  EXPECT_THAT(again.err, AllOf(HasSubstr("took 44 of the model's "),
                               HasSubstr("  model.bert.mmbt.modal_encoder.proj_embeddings.weight "),
                               Not(HasSubstr("modal_encoder.position_embeddings")),
                               Not(HasSubstr("position_ids"))));
}

TEST_F(ConvertTest, TheFolderIsAStartThatGivesTheSameScores) {
  train_model(std::string(kLinear) + "pooler_strategy = \"vqa\"\n");
  expect_success(convert("run/checkpoints/last"));
  const Words predict = {"predict", "own.toml", "--run-dir", "run", "--checkpoint"};
  const auto scores = [&](const std::string& run) {
    Words words = predict;
    words.push_back(run + "/checkpoints/last");
    expect_success(pergola(words));
    return text("run/predictions/image_text_test.json");
  };
  const std::string expected = scores("run");
  expect_success(pergola({"train", "own.toml", "--run-dir", "again", "checkpoint.pretrained=out",
                          "training.max_updates=1", "training.seed=77", "optimizer.params.lr=0",
                          "run_type=train"}));
  EXPECT_TRUE(same_bytes(weights("run"), weights("again")));
  EXPECT_EQ(scores("again"), expected);
}

// As MMF's: no config says what no shape tells.
TEST_F(ConvertTest, AFileAloneGetsItsConfigFromShapesAndWords) {
  train_model(std::string(kLinear) + "pooler_strategy = \"vqa\"\n");
  const std::string file = "run/checkpoints/best/model.safetensors";
  expect_error(convert(file), kConfig,
               {"num_attention_heads = 0 does not fit hidden_size = 8, and no shape tells it; give "
                "the number that the model was trained with as the word num_attention_heads=N "
                "behind OUT"});
  expect_error(convert(file, {"num_attention_heads=3"}), kConfig, {"num_attention_heads = 3 does"});
  expect_error(convert(file, {"num_attention_heads=two"}), kConfig,
               {"num_attention_heads is a string, \"two\"; expected an integer, such as its "
                "default 0"});
  expect_error(convert(file, {"num_attention_head=2"}), kConfig,
               {"'num_attention_head' is no key of model_config.visual_bert; did you mean "
                "'num_attention_heads'?"});
  EXPECT_FALSE(std::filesystem::exists(path("out")));
  const Result result =
      convert(file, {"num_attention_heads=2", "pooler_strategy=vqa", "initializer_range=1"});
  expect_success(result);
  expect_class("VisualBertForQuestionAnswering");
  EXPECT_EQ(json("out/config.json").at("num_attention_heads"), 2);
  EXPECT_EQ(json("out/config.json").at("id2label").at("2"), "LABEL_2");
  EXPECT_TRUE(json("out/config.json").at("initializer_range").is_number_float());
  EXPECT_THAT(listing("out"), ElementsAre("config.json", "model.safetensors"));
  EXPECT_THAT(result.err,
              HasSubstr("[convert] the file has no config: taken as 'visual_bert' with its "
                        "defaults; key=value words behind OUT say what was different"));
}

// As a .pth of Hugging Face's VisualBertModel: `embeddings.*`, and the regions' table among them.
TEST_F(ConvertTest, AFileMayHaveHuggingFacesNames) {
  train_model(kMlp);
  expect_success(convert());
  const auto convert_file = [&](const std::string& file, const std::string& to) {
    return pergola({"checkpoint", "convert", "--to", "hf", file, to, "num_attention_heads=2"});
  };
  const Result result = convert_file("out/model.safetensors", "again");
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("again: VisualBertModel, 43 tensors, "));
  EXPECT_THAT(result.err, HasSubstr("taken as 'visual_bert'"));
  EXPECT_TRUE(same_bytes("out/model.safetensors", "again/model.safetensors"));
  // MMF's older names, of the same length.
  const std::string bytes = std::regex_replace(text("run/checkpoints/best/model.safetensors"),
                                               std::regex("\"model\\.([^\"]*)\""), "\"bert.$1\" ");
  write("older.safetensors", bytes);
  expect_error(convert_file("older.safetensors", "of_older"), kCheckpoint,
               {"has the weights of no model", "its first of 50 is 'bert.",
                "older names become today's in a run that starts from it"});
}

// What no shape tells is in config.json; the class is one of two that have the same weights.
TEST_F(ConvertTest, AFolderOfHuggingFacesIsReadWithItsConfig) {
  train_model(std::string(kLinear) + "pooler_strategy = \"vqa\"\nhidden_act = \"relu\"\n");
  expect_success(convert());
  const auto convert_folder = [&](const std::string& to, const Words& more = {}) {
    Words words = {"checkpoint", "convert", "--to", "hf", "out", to};
    words.insert(words.end(), more.begin(), more.end());
    return pergola(words);
  };
  const Result result = convert_folder("again");
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("[convert] taken by its config.json as 'visual_bert' with"));
  EXPECT_TRUE(same_bytes("out/model.safetensors", "again/model.safetensors"));
  for (const char* key :
       {"architectures", "num_attention_heads", "hidden_act", "hidden_dropout_prob"}) {
    EXPECT_EQ(json("again/config.json").at(key), json("out/config.json").at(key)) << key;
  }
  expect_success(convert_folder("words", {"num_attention_heads=4"}));
  EXPECT_EQ(json("words/config.json").at("num_attention_heads"), 4);
  replace("out/config.json", "[]");
  expect_error(convert_folder("bad"), kCheckpoint, {"out/config.json is an array; expected a"});
  std::filesystem::remove(path("out/config.json"));
  expect_error(convert_folder("bad"), kConfig, {"as the word num_attention_heads=N behind OUT"});
}

TEST_F(ConvertTest, WordsThatTheWeightsContradictAreRefused) {
  train_model(std::string(kLinear) + "pooler_strategy = \"vqa\"\n");
  expect_error(convert("run", {"hidden_size=32"}), kConfig,
               {"hidden_size = 32 behind OUT, but the weights show 8; leave that word out"});
  expect_error(convert("run", {"num_labels=5"}), kConfig,
               {"num_labels = 5 behind OUT, but the weights show 3; leave that word out"});
  EXPECT_FALSE(std::filesystem::exists(path("out")));
  expect_success(convert("run", {"hidden_size=8", "num_labels=3", "hidden_act=relu"}));
}

// A BERT alone may be the text's of several models.
TEST_F(ConvertTest, AFileThatFitsSeveralModelsIsRefused) {
  train_model(std::string(kClassifies) + "modal_hidden_size = 3\nlosses = [\"cross_entropy\"]\n",
              "mmbt");
  expect_success(convert());
  expect_error(pergola({"checkpoint", "convert", "--to", "hf", "out/model.safetensors", "again"}),
               kCheckpoint, {"may be of the models concat_bert, late_fusion, mmbt; train one"});
}

TEST_F(ConvertTest, PublishedWidthsTellTheHeads) {
  train_model(kMlp, "visual_bert",
              {"model_config.visual_bert.hidden_size=64",
               "model_config.visual_bert.num_attention_heads=1"});
  const Result result = convert("run/checkpoints/best/model.safetensors");
  expect_success(result);
  EXPECT_EQ(json("out/config.json").at("num_attention_heads"), 1);
  EXPECT_THAT(result.err, HasSubstr("with its defaults and 1 attention heads of 64; key=value"));
}

TEST_F(ConvertTest, WhatCannotBeConvertedIsSaidAndLeavesNothing) {
  expect_success(train({"training.max_updates=1", "run_type=train"}, "cnn_lstm"));
  expect_error(convert(), kCheckpoint,
               {"Hugging Face has no model 'cnn_lstm': the plugin.toml of its plugin has no "
                "[models.cnn_lstm.hugging_face]; those with one are "
                "concat_bert, late_fusion, mmbt, visual_bert; without"});
  expect_error(convert("run/checkpoints/last/model.safetensors"), kCheckpoint,
               {"model.safetensors (safetensors) has the weights of no model that Hugging Face "
                "has, which are concat_bert, late_fusion, mmbt, visual_bert; its first of "});
  std::filesystem::create_directory(path("empty"));
  expect_error(convert("empty"), kCheckpoint, {"there are no weights in the folder empty; expect"});
  expect_error(convert("nothing"), kCheckpoint, {"nothing", "No such file"});
  EXPECT_FALSE(std::filesystem::exists(path("out")));
  std::filesystem::create_directory(path("out"));
  expect_error(convert(), kCheckpoint,
               {"there is something at out already; name a folder that does not exist, or remove"});
  expect_error(pergola({"checkpoint", "convert", "--to", "fh", "run", "new"}), kConfig,
               {"--to fh is not known; did you mean 'hf'?"});
  expect_error(pergola({"checkpoint", "verify", "--to", "hf", "run"}), kConfig,
               {"--to is of `convert`, not of `verify`"});
  EXPECT_THAT(listing("out"), ElementsAre());
}

class ConvertFileTest : public RunTest {
 protected:
  [[nodiscard]] Result convert(const Words& more) const {
    Words words = {"checkpoint", "convert"};
    words.insert(words.end(), more.begin(), more.end());
    return pergola(words);
  }
  // Containers begin with the letters of a ZIP file, headers of safetensors with their length.
  [[nodiscard]] bool is_torch_file(const std::string& name) const {
    return text(name).starts_with("PK\x03\x04");
  }

  const std::string golden_ = PERGOLA_GOLDEN_DIR "/torch_files/views.pt";
};

TEST_F(ConvertFileTest, SafetensorsThatBecameATorchFileComeBackTheSame) {
  expect_success(convert({golden_, "a.safetensors"}));
  const Result result = convert({"a.safetensors", "b.pth"});
  expect_success(result);
  EXPECT_THAT(result.out, AllOf(HasSubstr("b.pth: 11 tensors, "),
                                HasSubstr(" bytes of a PyTorch file; from: safetensors\n")));
  EXPECT_TRUE(is_torch_file("b.pth"));
  expect_success(convert({"b.pth", "c.safetensors"}));
  EXPECT_TRUE(same_bytes("a.safetensors", "c.safetensors"));
}

TEST_F(ConvertFileTest, TheNameOfOutSaysWhichFileItIs) {
  for (const char* name : {"a.pt", "b.bin", "c.ckpt"}) {
    expect_success(convert({golden_, name}));
    EXPECT_TRUE(is_torch_file(name)) << name;
  }
  for (const char* name : {"pth", "d.weights"}) {
    expect_success(convert({golden_, name}));
    EXPECT_FALSE(is_torch_file(name)) << name;
  }
}

TEST_F(ConvertFileTest, ToSaysWhichFileItIsWhateverItsName) {
  expect_success(convert({"--to", "torch", golden_, "a.safetensors"}));
  EXPECT_TRUE(is_torch_file("a.safetensors"));
  const Result result = convert({"--to", "safetensors", golden_, "b.pth"});
  expect_success(result);
  EXPECT_FALSE(is_torch_file("b.pth"));
  EXPECT_THAT(result.out, HasSubstr(" bytes of safetensors; from: state dict, PyTorch file (ZIP)"));
  expect_error(convert({"--to", "torhc", golden_, "c.pth"}), kConfig,
               {"--to torhc is not known; did you mean 'torch'?"});
  expect_error(convert({golden_, "b.pth"}), kCheckpoint, {"there is something at b.pth already"});
  EXPECT_FALSE(std::filesystem::exists(path("c.pth")));
}

}  // namespace
}  // namespace pergola::test
