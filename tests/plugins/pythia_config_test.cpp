// SPDX-License-Identifier: BSD-3-Clause
// What PythiaConfig::parse takes and refuses; each refusal pins its sentence.
#include "plugins/pythia/pythia_config.h"

#include "plugins/model_config.h"

#include <gmock/gmock.h>

namespace pergola::pythia {
namespace {

using test::error_of;
using test::model_config;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr const char* kSizes = "text_vocab_size = 20\nnum_final_outputs = 11";

PythiaConfig parse(const std::string& change) {
  return PythiaConfig::parse(model_config("pythia", {kSizes, change}));
}

std::string refusal(const std::string& change) {
  return error_of(ErrorKind::kConfig, [&] { (void)parse(change); });
}

TEST(PythiaConfigTest, DefaultsAreMmfs) {
  const PythiaConfig config = parse("");
  ASSERT_THAT(config.text_embeddings, SizeIs(1));
  const TextAttentionConfig& text = config.text_embeddings[0];
  EXPECT_EQ(text.embedding_dim, 300);
  EXPECT_EQ(text.hidden_dim, 1024);
  EXPECT_EQ(text.conv1_out, 512);
  EXPECT_EQ(text.conv2_out, 2);
  ASSERT_THAT(config.encoders, SizeIs(2));
  EXPECT_EQ(config.encoders[0].type, EncoderType::kFc7);
  EXPECT_EQ(config.encoders[0].dim, 2048);
  EXPECT_EQ(config.encoders[1].type, EncoderType::kDefault);
  ASSERT_THAT(config.image_attentions, SizeIs(1));
  EXPECT_EQ(config.image_attentions[0].combine.hidden_dim, 5000);
  EXPECT_EQ(config.combine.hidden_dim, 5000);
  EXPECT_EQ(config.classifier.img_hidden_dim, 5000);
  EXPECT_EQ(config.classifier.text_hidden_dim, 300);
}

Value combine_table(const CombineConfig& config) {
  const auto& [hidden_dim, dropout] = config;
  return Value::Table{{"type", "non_linear_element_multiply"},
                      {"params", Value::Table{{"hidden_dim", hidden_dim}, {"dropout", dropout}}}};
}

Value text_table(const TextAttentionConfig& config) {
  const auto& [embedding_dim, hidden_dim, num_layers, bidirectional, conv1_out, conv2_out,
               kernel_size, padding, dropout] = config;
  return Value::Table{{"type", "attention"},
                      {"params", Value::Table{{"embedding_dim", embedding_dim},
                                              {"hidden_dim", hidden_dim},
                                              {"num_layers", num_layers},
                                              {"bidirectional", bidirectional},
                                              {"conv1_out", conv1_out},
                                              {"conv2_out", conv2_out},
                                              {"kernel_size", kernel_size},
                                              {"padding", padding},
                                              {"dropout", dropout}}}};
}

Value image_table(const ImageAttentionConfig& config) {
  const auto& [combine, normalization, glimpses] = config;
  return Value::Table{
      {"modal_combine", combine_table(combine)},
      {"normalization", normalization == Normalization::kSoftmax ? "softmax" : "sigmoid"},
      {"transform",
       Value::Table{{"type", "linear"}, {"params", Value::Table{{"out_dim", glimpses}}}}}};
}

// What the parser makes of plugin.toml, written down again key by key. A member that is new stops
// the bindings from compiling; one whose key is not in plugin.toml makes the tables differ.
Value written_down(const PythiaConfig& config) {
  const auto& [words, answers, texts, encoders, attentions, combine, classifier] = config;
  const auto& [img_hidden_dim, text_hidden_dim] = classifier;
  Value::Array text_tables;
  for (const TextAttentionConfig& text : texts) text_tables.push_back(text_table(text));
  Value::Array encoder_tables;
  for (const EncoderConfig& encoder : encoders) {
    const bool fc7 = encoder.type == EncoderType::kFc7;
    encoder_tables.push_back(
        Value::Table{{"type", fc7 ? "finetune_faster_rcnn_fpn_fc7" : "default"}});
  }
  Value::Array image_tables;
  for (const ImageAttentionConfig& image : attentions) image_tables.push_back(image_table(image));
  Value all;
  all["losses"] = Value::Array{"logit_bce"};  // the host's
  all["text_vocab_size"] = words;
  all["num_final_outputs"] = answers;
  all["image_feature_dim"] = encoders[0].dim;
  all["text_embeddings"] = std::move(text_tables);
  all["image_feature_encodings"] = std::move(encoder_tables);
  all["image_feature_embeddings"] = std::move(image_tables);
  all["image_text_modal_combine"] = combine_table(combine);
  all["classifier"] = Value::Table{{"type", "logit"},
                                   {"params", Value::Table{{"img_hidden_dim", img_hidden_dim},
                                                           {"text_hidden_dim", text_hidden_dim}}}};
  return all;
}

TEST(PythiaConfigTest, PluginTomlHasEveryKeyWithTheValueThatIsUsed) {
  const Config defaults = model_config("pythia", {kSizes});
  EXPECT_EQ(to_string(written_down(PythiaConfig::parse(defaults))), to_string(defaults.value()));
}

TEST(PythiaConfigTest, AKeyThatIsLeftOutHasTheValueOfPluginToml) {
  const PythiaConfig parsed = parse(R"(
      text_embeddings = ["attention"]
      image_text_modal_combine = "non_linear_element_multiply"
      classifier = "logit"
      [[image_feature_embeddings]]
      modal_combine = "non_linear_element_multiply"
      transform = "linear")");
  EXPECT_EQ(to_string(written_down(parsed)), to_string(model_config("pythia", {kSizes}).value()));
}

TEST(PythiaConfigTest, TheConfigChoosesNormalizationAndGlimpses) {
  const PythiaConfig parsed = parse(
      "image_feature_embeddings = [{modal_combine = 'non_linear_element_multiply', normalization = "
      "'sigmoid', transform = {type = 'linear', params = {out_dim = 2}}}]");
  EXPECT_EQ(parsed.image_attentions[0].normalization, Normalization::kSigmoid);
  EXPECT_EQ(parsed.image_attentions[0].glimpses, 2);
}

TEST(PythiaConfigTest, ConvGridIsAsWideAsItsLastConvolution) {
  const PythiaConfig config =
      parse(R"(image_feature_encodings = [{type = "conv_grid", params = {channels = [8, 24]}}])");
  EXPECT_EQ(config.encoders[0].dim, 24);
  EXPECT_THAT(config.encoders[0].channels, ElementsAre(8, 24));
}

TEST(PythiaConfigTest, SizesMustComeFromTheDataSet) {
  EXPECT_THAT(refusal("text_vocab_size = 0"),
              HasSubstr("model_config.pythia.text_vocab_size = 0 must be the number of words; the "
                        "data set gives it"));
  EXPECT_THAT(refusal("num_final_outputs = 0"),
              HasSubstr("model_config.pythia.num_final_outputs = 0 must be the number of answers"));
}

TEST(PythiaConfigTest, UnknownKeysAreRefusedAtEveryLevel) {
  const std::pair<const char*, const char*> cases[] = {
      {"clasifier = 1",
       "model_config.pythia.clasifier is not a known key; did you mean "
       "'classifier'?"},
      {"text_embeddings = [{type = 'attention', parms = {}}]", "text_embeddings[0].parms"},
      {"text_embeddings = [{type = 'attention', params = {hiden_dim = 1}}]",
       "text_embeddings[0].params.hiden_dim is not a known key; did you mean 'hidden_dim'?"},
      {"image_feature_encodings = [{type = 'default', x = 1}]", "image_feature_encodings[0].x"},
      {"image_feature_encodings = [{type = 'default', params = {dim = 1}}]",
       "image_feature_encodings[0].params.dim"},
      {"image_feature_encodings = [{type = 'conv_grid', params = {chanels = [1]}}]",
       "did you mean 'channels'?"},
      {"image_feature_encodings = [{type = 'finetune_faster_rcnn_fpn_fc7', params = {a = 1}}]",
       "image_feature_encodings[0].params.a"},
      {"image_feature_embeddings = [{normalisation = 'softmax'}]",
       "image_feature_embeddings[0].normalisation is not a known key; did you mean "
       "'normalization'?"},
      {"image_feature_embeddings = [{modal_combine = {type = 'non_linear_element_multiply', "
       "params = {drop = 1}}}]",
       "image_feature_embeddings[0].modal_combine.params.drop"},
      {"image_feature_embeddings = [{modal_combine = 'non_linear_element_multiply', "
       "transform = {type = 'linear', params = {out = 1}}}]",
       "image_feature_embeddings[0].transform.params.out"},
      {"image_text_modal_combine.params.x = 1", "image_text_modal_combine.params.x"},
      {"image_text_modal_combine.x = 1", "image_text_modal_combine.x"},
      {"classifier.params.x = 1", "classifier.params.x is not a known key"},
      {"classifier.x = 1", "classifier.x is not a known key"}};
  for (const auto& [change, sentence] : cases) {
    EXPECT_THAT(refusal(change), HasSubstr(sentence)) << change;
  }
}

TEST(PythiaConfigTest, UnknownTypesAreRefusedWithWhatThereIs) {
  EXPECT_THAT(refusal("text_embeddings = ['atention']"),
              HasSubstr("model_config.pythia.text_embeddings[0] has type 'atention', which is not "
                        "one of attention; did you mean 'attention'?"));
  EXPECT_THAT(refusal("image_feature_encodings = ['conv_gird']"),
              HasSubstr("did you mean 'conv_grid'?"));
  EXPECT_THAT(refusal("image_text_modal_combine.type = 'mfh'"),
              HasSubstr("has type 'mfh', which is not one of non_linear_element_multiply"));
  EXPECT_THAT(refusal("classifier.type = 'logits'"), HasSubstr("did you mean 'logit'?"));
  EXPECT_THAT(refusal("image_feature_embeddings = [{transform = 'conv', modal_combine = "
                      "'non_linear_element_multiply'}]"),
              HasSubstr("transform has type 'conv', which is not one of linear"));
  EXPECT_THAT(refusal("image_feature_embeddings = [{transform = 'linear', normalization = 'max', "
                      "modal_combine = 'non_linear_element_multiply'}]"),
              HasSubstr("normalization = \"max\" is not one of softmax, sigmoid"));
}

TEST(PythiaConfigTest, NumbersOutOfBoundsAreRefused) {
  const char* const changes[] = {
      "text_vocab_size = -1",
      "num_final_outputs = 1000000000000",
      "image_feature_dim = 0",
      "text_embeddings = [{type = 'attention', params = {embedding_dim = 0}}]",
      "text_embeddings = [{type = 'attention', params = {hidden_dim = 99999999}}]",
      "text_embeddings = [{type = 'attention', params = {num_layers = 0}}]",
      "text_embeddings = [{type = 'attention', params = {conv1_out = 0}}]",
      "text_embeddings = [{type = 'attention', params = {conv2_out = -2}}]",
      "text_embeddings = [{type = 'attention', params = {kernel_size = 0}}]",
      "text_embeddings = [{type = 'attention', params = {padding = -1}}]",
      "text_embeddings = [{type = 'attention', params = {dropout = 1.5}}]",
      "image_feature_encodings = [{type = 'conv_grid', params = {kernel_size = 0}}]",
      "image_text_modal_combine.params.hidden_dim = 0",
      "image_text_modal_combine.params.dropout = -0.1",
      "classifier.params.img_hidden_dim = 0",
      "classifier.params.text_hidden_dim = 0",
      "image_feature_embeddings = [{transform = {type = 'linear', params = {out_dim = 0}}, "
      "modal_combine = 'non_linear_element_multiply'}]"};
  for (const char* change : changes) {
    EXPECT_THAT(refusal(change), HasSubstr(" is out of range; expected ")) << change;
  }
}

TEST(PythiaConfigTest, WrongTypesAreRefused) {
  EXPECT_THAT(refusal("image_feature_dim = 'wide'"), HasSubstr("expected an integer"));
  EXPECT_THAT(refusal("text_embeddings = 'attention'"), HasSubstr("expected an array"));
  EXPECT_THAT(refusal("image_feature_embeddings = [1]"), HasSubstr("expected a table"));
  EXPECT_THAT(refusal("image_feature_encodings = [{type = 'conv_grid', params = {channels = 8}}]"),
              HasSubstr("expected an array"));
}

TEST(PythiaConfigTest, EmptyListsAreRefused) {
  EXPECT_THAT(refusal("text_embeddings = []"),
              HasSubstr("text_embeddings = [] must list at least one"));
  EXPECT_THAT(refusal("image_feature_encodings = []"), HasSubstr("must list at least one"));
  EXPECT_THAT(refusal("image_feature_embeddings = []"), HasSubstr("must list at least one"));
}

TEST(PythiaConfigTest, ConvolutionsMustKeepTheNumberOfWords) {
  EXPECT_THAT(refusal("text_embeddings = [{type = 'attention', params = {kernel_size = 3}}]"),
              HasSubstr("kernel_size must be 2 * padding + 1"));
}

TEST(PythiaConfigTest, AnOddWidthCannotBeSharedByTwoDirections) {
  EXPECT_THAT(refusal("text_embeddings = [{type = 'attention', params = {hidden_dim = 7, "
                      "bidirectional = true}}]"),
              HasSubstr("hidden_dim = 7 must be even"));
}

TEST(PythiaConfigTest, AllTextEmbeddingsReadTheSameWordVectors) {
  EXPECT_THAT(refusal("text_embeddings = ['attention', {type = 'attention', params = "
                      "{embedding_dim = 50}}]"),
              HasSubstr("text_embeddings[1].params.embedding_dim = 50 differs from the 300 of "
                        "text_embeddings[0]"));
}

TEST(PythiaConfigTest, PicklesAreNotRead) {
  for (const char* key : {"weights_file", "bias_file"}) {
    EXPECT_THAT(refusal(concat("image_feature_encodings = [{type = 'finetune_faster_rcnn_fpn_fc7', "
                               "params = {",
                               key, " = 'fc7.pkl'}}]")),
                HasSubstr("names a pickle, which Pergola does not run"));
  }
}

TEST(PythiaConfigTest, ConvGridRefusesKernelsAndChannelsThatMakeNoSense) {
  const auto conv_grid = [](const std::string& params) {
    return refusal("image_feature_encodings = [{type = 'conv_grid', params = {" + params + "}}]");
  };
  EXPECT_THAT(conv_grid("kernel_size = 4"), HasSubstr("kernel_size = 4 must be odd"));
  EXPECT_THAT(conv_grid("channels = []"), HasSubstr("must list the channels of 1 to"));
  EXPECT_THAT(conv_grid("channels = [8, 0]"), HasSubstr("must hold numbers from 1 to"));
}

}  // namespace
}  // namespace pergola::pythia
