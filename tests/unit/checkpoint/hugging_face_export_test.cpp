// SPDX-License-Identifier: BSD-3-Clause
// Which class of Hugging Face's weights are, and what its config.json says.
#include "host/checkpoint/hugging_face_export.h"

#include "host/checkpoint/pretrained.h"
#include "host/checkpoint/safetensors.h"
#include "unit/checkpoint/checkpoint_test_kit.h"

#include <torch/nn/modules/linear.h>

#include <gmock/gmock.h>

namespace pergola::host::checkpoint_test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// body.words.weight [V, D], body.layer.<i>.weight, head.weight [C, D].
HuggingFaceFormat tiny_format() {
  HuggingFaceFormat format;
  format.model_type = "tiny";
  format.config = {"act"};
  format.constants = Value::Table{{"pad_token_id", 0}};
  format.sizes = {{"vocab_size", {"body.words.weight", 0}},
                  {"hidden_size", {"body.words.weight", 1}},
                  {"num_hidden_layers", {"body.layer", std::nullopt}}};
  format.classes = {{"TinyForAnswers",
                     {{"body", "tiny"}, {"head", "cls"}},
                     {{"num_labels", {"head.weight", 0}}, {"hidden_size", {"head.weight", 1}}},
                     Value::Table{{"pooler", "first"}}},
                    {"TinyModel", {{"body.words", "words"}, {"body.layer", "layer"}}, {}}};
  return format;
}

StateDict tiny_state(std::int64_t head_width = 4) {
  return {{"body.words.weight", at::zeros({5, 4})},
          {"body.layer.0.weight", at::zeros({4, 4})},
          {"body.layer.1.weight", at::zeros({4, 4})},
          {"body.layer.10.weight", at::zeros({4, 4})},
          {"head.weight", at::zeros({2, head_width})}};
}

Value tiny_config(const char* pooler = "first") {
  return Value::Table{{"act", "gelu"}, {"pooler", pooler}, {"hidden_size", 0}};
}

TEST(HuggingFaceExportTest, TheFirstClassThatFitsIsTaken) {
  const auto exported = export_hugging_face(tiny_format(), tiny_state(), tiny_config());
  EXPECT_EQ(exported.architecture, "TinyForAnswers");
  EXPECT_THAT(names_of(exported.state),
              ElementsAre("tiny.words.weight", "tiny.layer.0.weight", "tiny.layer.1.weight",
                          "tiny.layer.10.weight", "cls.weight"));
  EXPECT_THAT(exported.left_out, IsEmpty());
  EXPECT_EQ(exported.config,
            Value(Value::Table{{"act", "gelu"},
                               {"architectures", Value::Array{"TinyForAnswers"}},
                               {"hidden_size", 4},
                               {"id2label", Value::Table{{"0", "LABEL_0"}, {"1", "LABEL_1"}}},
                               {"label2id", Value::Table{{"LABEL_0", 0}, {"LABEL_1", 1}}},
                               {"model_type", "tiny"},
                               {"num_hidden_layers", 3},
                               {"pad_token_id", 0},
                               {"torch_dtype", "float32"},
                               {"vocab_size", 5}}));
}

TEST(HuggingFaceExportTest, AConfigOrAShapeThatItCannotHaveRulesAClassOut) {
  const auto other_pooler = export_hugging_face(tiny_format(), tiny_state(), tiny_config("last"));
  EXPECT_EQ(other_pooler.architecture, "TinyModel");
  EXPECT_THAT(other_pooler.left_out, ElementsAre("head.weight"));
  // As the head of two images: twice as wide.
  EXPECT_EQ(export_hugging_face(tiny_format(), tiny_state(8), tiny_config()).architecture,
            "TinyModel");
}

TEST(HuggingFaceExportTest, AnswersAreNamedWhereEachHasItsOwnNumber) {
  const auto label = [&](std::vector<std::string> answers) {
    const auto exported = export_hugging_face(tiny_format(), tiny_state(), tiny_config(),
                                              {std::move(answers), {}, true});
    return exported.config.find("id2label")->find("1")->as_string();
  };
  EXPECT_EQ(label({"no", "yes"}), "yes");
  EXPECT_EQ(label({"no", "yes", "maybe"}), "LABEL_1");
  EXPECT_EQ(label({"no", "yes", "yes"}), "LABEL_1");
}

TEST(HuggingFaceExportTest, AVocabularyOfAnotherSizeStaysAway) {
  const auto vocabulary = [&](std::vector<std::string> tokens) {
    return export_hugging_face(tiny_format(), tiny_state(), tiny_config(),
                               {{}, std::move(tokens), true})
        .words.vocabulary;
  };
  EXPECT_THAT(vocabulary({"[PAD]", "a", "b", "c", "d"}), testing::SizeIs(5));
  EXPECT_THAT(vocabulary({"[PAD]", "a"}), IsEmpty());
}

TEST(HuggingFaceExportTest, HeadsAreGuessedOnlyWhereTheSizesAreThePublishedOnes) {
  HuggingFaceFormat format = tiny_format();
  format.head_size = 2;
  const auto guessed = export_hugging_face(format, tiny_state(), tiny_config());
  EXPECT_TRUE(guessed.guessed_heads);
  EXPECT_EQ(*guessed.config.find("num_attention_heads"), Value(2));
  Value config = tiny_config();
  config["num_attention_heads"] = 4;
  const auto said = export_hugging_face(format, tiny_state(), config);
  EXPECT_FALSE(said.guessed_heads);
  EXPECT_EQ(*said.config.find("num_attention_heads"), Value(4));
  config["num_attention_heads"] = 0;
  config["hidden_size"] = 4;
  try {
    static_cast<void>(export_hugging_face(format, tiny_state(), config));
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_STREQ(error.what(),
                 "num_attention_heads = 0 does not fit hidden_size = 4, and no shape tells it; "
                 "give the number that the model was trained with as the word "
                 "num_attention_heads=N behind OUT");
  }
}

TEST(HuggingFaceExportTest, WithoutAHeadSizeTheHeadsAreThoseOfTheConfig) {
  HuggingFaceFormat format = tiny_format();
  Value config = tiny_config();
  config["num_attention_heads"] = 2;
  const auto said = export_hugging_face(format, tiny_state(), config);
  EXPECT_FALSE(said.guessed_heads);
  ASSERT_NE(said.config.find("num_attention_heads"), nullptr);
  EXPECT_EQ(*said.config.find("num_attention_heads"), Value(2));
  for (const int wrong : {0, 3}) {
    config["num_attention_heads"] = wrong;
    try {
      static_cast<void>(export_hugging_face(format, tiny_state(), config));
      ADD_FAILURE() << "accepted " << wrong;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      EXPECT_THAT(
          error.what(),
          AllOf(HasSubstr(concat("num_attention_heads = ", wrong, " does not fit hidden_size = 4")),
                HasSubstr("as the word num_attention_heads=N behind OUT")));
    }
  }
  // All models of that type have as many.
  format.constants["num_attention_heads"] = 1;
  config["num_attention_heads"] = 0;
  EXPECT_EQ(*export_hugging_face(format, tiny_state(), config).config.find("num_attention_heads"),
            Value(1));
}

TEST(HuggingFaceExportTest, WeightsThatAreNotThereAreNamed) {
  StateDict state = tiny_state();
  state.erase(state.begin());
  EXPECT_FALSE(has_sizes(tiny_format(), state));
  EXPECT_THAT(error_of([&] {
                static_cast<void>(export_hugging_face(tiny_format(), state, tiny_config()));
              }),
              HasSubstr("the weights have no 'body.words.weight', which shows hidden_size of tiny; "
                        "the first of 4 is 'body.layer.0.weight'; convert weights of the whole"));
  HuggingFaceFormat format = tiny_format();
  format.classes.pop_back();
  EXPECT_THAT(error_of([&] {
                static_cast<void>(export_hugging_face(format, tiny_state(8), tiny_config()));
              }),
              HasSubstr("none of the plugin's 1 classes of tiny fits the weights and the config"));
}

TEST(HuggingFaceExportTest, TheFolderIsReadBack) {
  TempFolder folder{memory_or_disk()};
  auto exported = export_hugging_face(tiny_format(), tiny_state(), tiny_config());
  for (auto& [name, tensor] : exported.state) tensor = tensor.to(at::kHalf);
  const std::uint64_t bytes = write_hugging_face(folder / "out", exported);
  EXPECT_EQ(bytes, fs::file_size(folder / "out" / "model.safetensors"));
  EXPECT_EQ(read_safetensors_header(folder / "out" / "model.safetensors").metadata,
            (SafetensorsMetadata{{"format", "pt"}}));
  EXPECT_EQ(read_safetensors(folder / "out" / "model.safetensors").size(), 5U);
}

TEST(HuggingFaceExportTest, TheTypeIsThatOfTheWeights) {
  StateDict state = tiny_state();
  for (auto& [name, tensor] : state) tensor = tensor.to(at::kBFloat16);
  EXPECT_EQ(*export_hugging_face(tiny_format(), state, tiny_config()).config.find("torch_dtype"),
            Value("bfloat16"));
}

// The head of two weights.
class Head final : public BaseModel {
 public:
  Head() : BaseModel(Config()) { build(); }
  void build() override { register_module("head", torch::nn::Linear(4, 2)); }
  ModelOutput forward(const SampleList& /*batch*/) override { return {}; }
};

TEST(HuggingFaceExportTest, NamesFromThereAreTheModelsWhenTheyAreLoaded) {
  TempFolder folder{memory_or_disk()};
  write_safetensors(folder / "theirs.safetensors",
                    {{"cls.weight", at::full({2, 4}, 3.0)}, {"cls.bias", at::full({2}, 4.0)}});
  Head model;
  const HuggingFaceFormat format = tiny_format();
  PretrainedOptions options;
  options.hugging_face = &format;
  EXPECT_EQ(load_pretrained(model, folder / "theirs.safetensors", options).matched, 2U);
  EXPECT_EQ(model.named_parameters()["head.weight"].min().item<float>(), 3);
}

}  // namespace
}  // namespace pergola::host::checkpoint_test
