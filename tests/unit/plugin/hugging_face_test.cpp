// SPDX-License-Identifier: BSD-3-Clause
// [models.<key>.hugging_face] of a manifest, and the tables of the plugins that come along against
// the names of Hugging Face's classes (tools/reference/hugging_face.py).
#include "host/plugin/hugging_face.h"

#include "fixtures/plugins/plugin_files.h"
#include "host/plugin/manifest.h"
#include "pergola/error.h"
#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace pergola::host {
namespace {

using ::testing::HasSubstr;

HuggingFaceFormat format_of(const std::string& model, const std::string& plugin) {
  const std::filesystem::path file =
      std::filesystem::path(PERGOLA_PLUGIN_SOURCES) / plugin / "plugin.toml";
  return *parse_manifest(test::read_file(file), "plugin.toml").models.at(model).hugging_face;
}

const std::string kTinyHead = R"(name = "tiny"
version = "0.1.0"
license = "BSD-3-Clause"
description = "tiny"
[models.tiny]
description = "tiny"
config = { act = "gelu", heads = 2 }
[models.tiny.hugging_face]
)";

HuggingFaceFormat parse(const std::string& table) {
  return *parse_manifest(kTinyHead + table, "tiny.toml").models.at("tiny").hugging_face;
}

std::string refusal_of_table(const std::string& table) {
  return test::error_of([&] { static_cast<void>(parse(table)); }, ErrorKind::kPlugin);
}

const std::string kClasses = R"(classes = [{ name = "Tiny", names = { "model" = "tiny" } }]
)";

// Every name of a class becomes the model's, and that one is this name in the class.
TEST(HuggingFaceTest, NamesGoBothWays) {
  const auto known =
      nlohmann::json::parse(test::read_file(PERGOLA_GOLDEN_DIR "/hugging_face.json"));
  for (const std::string model : {"visual_bert", "mmbt"}) {
    const HuggingFaceFormat format = format_of(model, model);
    for (const auto& [name, weights] : known.items()) {
      const auto found = std::ranges::find(format.classes, name, &HuggingFaceClass::name);
      if (found == format.classes.end() || name.starts_with("Bert") != (model == "mmbt")) continue;
      for (const auto& [theirs, shape] : weights.items()) {
        const std::string own = own_name(format, theirs);
        EXPECT_TRUE(own.starts_with("model.")) << own;
        EXPECT_EQ(name_in(format, *found, own), theirs);
        EXPECT_EQ(own_name(format, own), own);
      }
    }
  }
}

TEST(HuggingFaceTest, TheFusionsTextIsABert) {
  const auto known =
      nlohmann::json::parse(test::read_file(PERGOLA_GOLDEN_DIR "/hugging_face.json"));
  for (const std::string model : {"concat_bert", "late_fusion"}) {
    const HuggingFaceFormat format = format_of(model, "fusions");
    EXPECT_EQ(format.classes.front().name, "BertModel");
    for (const auto& [theirs, shape] : known.at("BertModel").items()) {
      EXPECT_EQ(own_name(format, theirs), "base.text." + theirs);
      EXPECT_EQ(own_name(format, "bert." + theirs), "base.text." + theirs);
      EXPECT_EQ(name_in(format, format.classes.front(), "base.text." + theirs), theirs);
    }
  }
}

// MMF's names, with which the plugins' own tests load its weights.
TEST(HuggingFaceTest, VisualBertKnowsItsNamesElsewhere) {
  const HuggingFaceFormat format = format_of("visual_bert", "visual_bert");
  const std::pair<const char*, const char*> names[] = {
      {"visual_bert.embeddings.visual_projection.weight",
       "model.bert.embeddings.projection.weight"},
      {"embeddings.visual_token_type_embeddings.weight",
       "model.bert.embeddings.token_type_embeddings_visual.weight"},
      {"visual_bert.embeddings.visual_position_embeddings.weight",
       "model.bert.embeddings.position_embeddings_visual.weight"},
      {"visual_bert.additional_layer.output.dense.bias",
       "model.bert.additional_layer.output.dense.bias"},
      {"cls.weight", "model.classifier.weight"},
      {"cls.predictions.bias", "model.cls.predictions.bias"},
      {"cls.seq_relationship.bias", "model.cls.seq_relationship.bias"},
      {"bert.embeddings.LayerNorm.beta", "model.bert.embeddings.LayerNorm.beta"},
      {"bert.pooler.dense.weight", "model.bert.pooler.dense.weight"},
      // MMF's older names are format_state_key's.
      {"bert.bert.pooler.dense.weight", "bert.bert.pooler.dense.weight"},
      {"classifier.weight", "classifier.weight"}};
  for (const auto& [theirs, own] : names) EXPECT_EQ(own_name(format, theirs), own);
}

TEST(HuggingFaceTest, MmbtReadsABert) {
  const HuggingFaceFormat format = format_of("mmbt", "mmbt");
  const std::string own = "model.bert.mmbt.transformer.embeddings.word_embeddings.weight";
  EXPECT_EQ(own_name(format, "bert.embeddings.word_embeddings.weight"), own);
  EXPECT_EQ(own_name(format, "embeddings.word_embeddings.weight"), own);
}

TEST(HuggingFaceTest, AWholePartIsMeantAndTheLongestOne) {
  const HuggingFaceFormat format = parse(R"(model_type = "tiny"
parts = { inner = "outer" }
classes = [{ name = "Tiny", names = { "model" = "tiny", "model.head" = "cls", "x" = "tiny.x" } }]
)");
  EXPECT_EQ(own_name(format, "tiny.outer.weight"), "model.inner.weight");
  EXPECT_EQ(own_name(format, "tiny.outerness.weight"), "model.outerness.weight");
  EXPECT_EQ(own_name(format, "tiny.x.weight"), "x.weight");
  EXPECT_EQ(own_name(format, "tinyx.weight"), "tinyx.weight");
  EXPECT_EQ(name_in(format, format.classes[0], "model.head.weight"), "cls.weight");
  EXPECT_EQ(name_in(format, format.classes[0], "model.headless.weight"), "tiny.headless.weight");
  EXPECT_EQ(name_in(format, format.classes[0], "other.weight"), std::nullopt);
}

TEST(HuggingFaceTest, SizesAreADimensionOrARowOfParts) {
  const HuggingFaceFormat format = parse(R"(model_type = "tiny"
sizes = { width = "model.words.weight[1]", layers = "model.layer" }
)" + kClasses);
  EXPECT_EQ(format.sizes.at("width").name, "model.words.weight");
  EXPECT_EQ(format.sizes.at("width").dim, 1U);
  EXPECT_EQ(format.sizes.at("layers").name, "model.layer");
  EXPECT_EQ(format.sizes.at("layers").dim, std::nullopt);
}

// The block in sdk/docs/authors_guide.md is one that is taken.
TEST(HuggingFaceTest, TheGuidesTableIsSound) {
  const std::string guide = test::read_file(PERGOLA_GUIDE);
  const std::size_t begin = guide.find("[models.my_model.hugging_face]");
  ASSERT_NE(begin, std::string::npos);
  const std::string table = guide.substr(begin, guide.find("```", begin) - begin);
  const std::string head = R"(name = "my_model"
version = "0.1.0"
license = "BSD-3-Clause"
description = "mine"
[models.my_model]
description = "mine"
config = { hidden_act = "gelu", pooler = "first" }
)";
  const auto manifest = parse_manifest(head + table, "guide.toml");
  const HuggingFaceFormat& format = *manifest.models.at("my_model").hugging_face;
  EXPECT_EQ(own_name(format, "bert.token_type.weight"), "text.kind.weight");
  EXPECT_EQ(format.classes.at(0).sizes.at("num_labels").name, "answer.weight");
}

TEST(HuggingFaceTest, WhatIsWrongIsSaidWithItsPlace) {
  const std::string type = "model_type = \"tiny\"\n";
  EXPECT_THAT(refusal_of_table(kClasses),
              HasSubstr("has no 'model_type'; add model_type = \"...\""));
  EXPECT_THAT(refusal_of_table(type),
              HasSubstr("tiny.toml:8:1: the hugging_face table has no [[...classes]]; add one"));
  EXPECT_THAT(refusal_of_table(type + "size = {}\n" + kClasses),
              HasSubstr("unknown key 'models.tiny.hugging_face.size'; did you mean 'sizes'?"));
  EXPECT_THAT(refusal_of_table(type + "config = [\"acts\"]\n" + kClasses),
              HasSubstr("'models.tiny.hugging_face.config' has 'acts', which the model's config "
                        "has not; did you mean 'act'?"));
  EXPECT_THAT(refusal_of_table(type + "head_size = 0\n" + kClasses),
              HasSubstr("'models.tiny.hugging_face.head_size' is 0; expected 1 or more"));
  for (const char* size : {"[1]", "w[x]", "]"}) {
    EXPECT_THAT(refusal_of_table(type + "sizes = { width = \"" + size + "\" }\n" + kClasses),
                HasSubstr(std::string("hugging_face.sizes.width' is '") + size +
                          "'; expected a weight and one of its dimensions"));
  }
  EXPECT_THAT(refusal_of_table(type + "classes = [{ name = \"A\" }]\n"),
              HasSubstr("a class without names; add names = { "));
  EXPECT_THAT(refusal_of_table(type + "classes = {}\n"),
              HasSubstr("classes' is a table; expected an array of tables"));
  EXPECT_THAT(refusal_of_table(
                  type + "classes = [{ name = \"A\", names = { m = \"a\" }, when = { a = 1 } }]\n"),
              HasSubstr("classes.when' has 'a', which the model's config has not"));
  EXPECT_THAT(refusal_of_table(
                  type + "classes = [{ name = \"A\", names = { m = \"cls\", n = \"cls\" } }]\n"),
              HasSubstr("classes' calls both 'm' and 'n' 'cls'; name more of the parts"));
}

}  // namespace
}  // namespace pergola::host
