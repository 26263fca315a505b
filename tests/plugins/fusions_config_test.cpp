// SPDX-License-Identifier: BSD-3-Clause
// What FusionConfig::parse takes and refuses; each refusal pins its sentence.
#include "plugins/fusions/fusions_config.h"

#include "plugins/model_config.h"

#include <gmock/gmock.h>

namespace pergola::fusions {
namespace {

using test::error_of;
using ::testing::HasSubstr;

FusionConfig parse(const std::string& model, const std::string& change) {
  const bool bow = model == "concat_bow";
  return FusionConfig::parse(
      test::model_config(model, {"text_vocab_size = 40\nnum_final_outputs = 5", change}, "fusions"),
      bow ? Text::kBagOfWords : Text::kBert,
      model == "late_fusion" ? Fusion::kLate : Fusion::kConcat);
}

std::string refusal(const std::string& model, const std::string& change) {
  return error_of(ErrorKind::kConfig, [&] { static_cast<void>(parse(model, change)); });
}

// 100 regions of 2048 (configs/models/fusions), and 768 or 300 numbers of the text.
TEST(FusionConfigTest, DefaultsAreMmfs) {
  const char* const features = "direct_features_input = true";
  const FusionConfig bert = parse("concat_bert", features);
  EXPECT_EQ(std::get<nn::BertConfig>(bert.text).num_hidden_layers, 12);
  EXPECT_EQ(bert.classifier.in_dim, 205'568);
  EXPECT_EQ(bert.classifier.out_dim, 5);
  EXPECT_EQ(bert.classifier.hidden_dim, 768);
  EXPECT_EQ(bert.classifier.num_layers, 0);
  EXPECT_EQ(bert.classifier.dropout, 0.5);
  EXPECT_TRUE(bert.classifier.batch_norm);
  EXPECT_FALSE(bert.freeze_text || bert.freeze_modal);
  EXPECT_EQ(bert.finetune_lr_multiplier, 1);
  const FusionConfig bow = parse("concat_bow", features);
  EXPECT_EQ(std::get<BagOfWordsConfig>(bow.text).text_vocab_size, 40);
  EXPECT_EQ(std::get<BagOfWordsConfig>(bow.text).word_operator, WordOperator::kSum);
  EXPECT_EQ(bow.classifier.in_dim, 205'100);
  const FusionConfig late = parse("late_fusion", features);
  EXPECT_EQ(late.modal_classifier.in_dim, 204'800);
  EXPECT_EQ(late.text_classifier.in_dim, 768);
}

TEST(FusionConfigTest, PixelsAreAsWideAsTheEncoderMakesThem) {
  const FusionConfig config = parse(
      "late_fusion", "num_features = 16\nimage_encoder = {type = 'grid', params.channels = [8]}");
  EXPECT_EQ(config.modal_hidden_size, 8);
  EXPECT_EQ(config.modal_classifier.in_dim, 16 * 8);
  EXPECT_THAT(refusal("concat_bow", "image_encoder = 'none'"),
              HasSubstr("model_config.concat_bow.image_encoder = \"none\" names no encoder for "
                        "pixels; choose grid or patch, or set direct_features_input to true"));
}

TEST(FusionConfigTest, NumLabelsGoesBeforeTheDataSetsAnswers) {
  EXPECT_EQ(parse("concat_bow", "num_labels = 2").classifier.out_dim, 2);
  EXPECT_EQ(parse("concat_bow", "num_labels = 2\nnum_final_outputs = 0").classifier.out_dim, 2);
}

TEST(FusionConfigTest, FreezingAllFreezesBoth) {
  const FusionConfig config = parse("concat_bow", "freeze_complete_base = true");
  EXPECT_TRUE(config.freeze_text && config.freeze_modal);
}

TEST(FusionConfigTest, EachModelHasItsOwnKeys) {
  EXPECT_THAT(refusal("concat_bert", "text_classifier.type = 'mlp'"),
              HasSubstr("model_config.concat_bert.text_classifier is not a known key"));
  EXPECT_THAT(refusal("late_fusion", "classifier.type = 'mlp'"),
              HasSubstr("model_config.late_fusion.classifier is not a known key"));
  EXPECT_THAT(refusal("concat_bow", "hidden_size = 8"),
              HasSubstr("hidden_size is not a known key; did you mean 'text_hidden_size'?"));
  EXPECT_THAT(refusal("concat_bert", "freeze_txt = true"),
              HasSubstr("did you mean 'freeze_text'?"));
}

TEST(FusionConfigTest, MistakesAreNamed) {
  EXPECT_THAT(refusal("concat_bow", "text_vocab_size = 0"),
              HasSubstr("text_vocab_size = 0 must be the number of words; the data set gives it"));
  EXPECT_THAT(refusal("late_fusion", "num_final_outputs = 0"),
              HasSubstr("num_final_outputs = 0 must be the number of answers"));
  EXPECT_THAT(refusal("concat_bow", "operator = 'concat'"), HasSubstr("is not one of sum, mul"));
  EXPECT_THAT(refusal("concat_bow", "classifier.type = 'bert'"), HasSubstr("is not one of mlp"));
  EXPECT_THAT(refusal("late_fusion",
                      "direct_features_input = true\nnum_features = 3\n"
                      "modal_hidden_size = 6\nmodal_classifier.params.in_dim = 20"),
              HasSubstr("modal_classifier.params.in_dim = 20 must be what the classifier reads, "
                        "which is 18 numbers; leave it out"));
  EXPECT_THAT(refusal("concat_bert", "num_attention_heads = 5"),
              HasSubstr("does not divide hidden_size = 768"));
  for (const char* model : {"concat_bert", "late_fusion"}) {
    EXPECT_THAT(
        refusal(model, "text_vocab_size = 14\nvocab_size = 6"),
        HasSubstr("vocab_size = 6 is less than the 14 words of the data set; leave it out"));
  }
}

TEST(FusionConfigTest, NumbersOutOfBoundsAreRefused) {
  for (const char* change :
       {"num_features = 0", "num_features = 2049", "modal_hidden_size = 0", "num_labels = -1",
        "text_hidden_size = 0", "finetune_lr_multiplier = -1.0",
        "classifier.params.num_layers = 17"}) {
    EXPECT_THAT(refusal("concat_bow", change), HasSubstr(" is out of range; expected ")) << change;
  }
}

}  // namespace
}  // namespace pergola::fusions
