// SPDX-License-Identifier: BSD-3-Clause
#include "plugins/visual_bert/visual_bert_config.h"

#include "plugins/model_config.h"

#include <gmock/gmock.h>

namespace pergola::visual_bert {
namespace {

using ::testing::HasSubstr;

VisualBertConfig parse(const std::vector<std::string>& changes) {
  std::vector<std::string> all = {"text_vocab_size = 100", "num_final_outputs = 10"};
  all.insert(all.end(), changes.begin(), changes.end());
  return VisualBertConfig::parse(test::model_config("visual_bert", all));
}

std::string problem(const std::string& change) {
  return test::error_of(ErrorKind::kConfig, [&] { static_cast<void>(parse({change})); });
}

TEST(VisualBertConfigTest, DefaultsAreBertBaseAndMmfs) {
  const VisualBertConfig config = parse({});
  EXPECT_EQ(config.bert.hidden_size, 768);
  EXPECT_EQ(config.bert.num_hidden_layers, 12);
  EXPECT_EQ(config.bert.layer_norm_eps, 1e-12);
  EXPECT_EQ(config.visual_embedding_dim, 2048);
  EXPECT_EQ(config.head, Head::kPretraining);
  EXPECT_TRUE(config.special_visual_initialize);
}

TEST(VisualBertConfigTest, ANamedModelGivesTheSizesThatAreNotSet) {
  const VisualBertConfig config =
      parse({"bert_model_name = \"bert-large-uncased\"", "num_hidden_layers = 3"});
  EXPECT_EQ(config.bert.hidden_size, 1024);
  EXPECT_EQ(config.bert.num_attention_heads, 16);
  EXPECT_EQ(config.bert.num_hidden_layers, 3);
}

TEST(VisualBertConfigTest, NumbersThatAreSetWinOverThoseOfTheDataSet) {
  const VisualBertConfig config =
      parse({"vocab_size = 500", "num_labels = 20", "training_head_type = \"classification\""});
  EXPECT_EQ(config.bert.vocab_size, 500);
  EXPECT_EQ(config.num_labels, 20);
  EXPECT_EQ(parse({"training_head_type = \"classification\""}).num_labels, 10);
}

TEST(VisualBertConfigTest, MistakesAreNamed) {
  EXPECT_THAT(problem("num_hiden_layers = 3"), HasSubstr("did you mean 'num_hidden_layers'?"));
  EXPECT_THAT(problem("num_attention_heads = 7"),
              HasSubstr("does not divide hidden_size = 768; each head has an equal part of it"));
  EXPECT_THAT(problem("training_head_type = \"vqa\""), HasSubstr("classification"));
  EXPECT_THAT(problem("vocab_size = 99"),
              HasSubstr("vocab_size = 99 is less than the 100 words of the data set; leave it out, "
                        "or take the tokenizer's vocab_file that fits the weights"));
  EXPECT_THAT(problem("output_attentions = true"), HasSubstr("needs attention = \"plain\""));
  EXPECT_THAT(problem("bert_model_name = \"roberta-base\""), HasSubstr("bert-base-uncased"));
  EXPECT_THAT(problem("image_encoder = \"resnet\""), HasSubstr("not one of none, grid, patch"));
  EXPECT_THAT(problem("image_encoder = {type = \"grid\", params = {kernel_size = 2}}"),
              HasSubstr("must be odd"));
  EXPECT_THAT(problem("image_encoder = {type = \"grid\", params = {channels = []}}"),
              HasSubstr("must list the channels of 1 to 64 convolutions"));
  EXPECT_THAT(test::error_of(ErrorKind::kConfig,
                             [] {
                               static_cast<void>(parse({"training_head_type = \"nlvr2\"",
                                                        "pooler_strategy = \"vqa\""}));
                             }),
              HasSubstr("is for one image"));
}

}  // namespace
}  // namespace pergola::visual_bert
