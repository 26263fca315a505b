// SPDX-License-Identifier: BSD-3-Clause
// Aliases in a whole config: what a model is made from whose table is another one.
#include "host/config/aliases.h"

#include "unit/config/config_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class AliasesTest : public ConfigFixture {};

TEST_F(AliasesTest, AnAliasTakesTheTableOfAnotherOverItsOwnDefaults) {
  write_run("[model_config]\npythia = \"cnn_lstm\"\ncnn_lstm = {hidden_dim = 64}");
  const Config root = resolve();
  EXPECT_EQ(root.get<std::int64_t>("model_config.pythia.hidden_dim"), 64);
  EXPECT_EQ(root.get<std::int64_t>("model_config.pythia.encoder.params.size"), 4);
  EXPECT_EQ(root.get<std::int64_t>("model_config.cnn_lstm.hidden_dim"), 64);
}

TEST_F(AliasesTest, WhatAnAliasPointsAtNeedsNoModelOfItsName) {
  write_run("[model_config]\ncnn_lstm = \"mine\"\n[model_config.mine]\nlosses = [\"mse\"]");
  const Config root = resolve({"model=cnn_lstm"});
  EXPECT_EQ(to_string(*root.value().find("model_config.cnn_lstm")),
            "{hidden_dim = 128, losses = [\"mse\"]}");
  EXPECT_EQ(root.value().find("model_config.mine"), nullptr);
}

TEST_F(AliasesTest, KeysOfATargetAreThoseOfTheModelThatPointsAtIt) {
  write_run("[model_config]\npythia = \"mine\"\n[model_config.mine]\nhiden_dim = 1");
  EXPECT_EQ(complaint(), "model_config.pythia.hiden_dim (" + path("run.toml") +
                             ":6:13) is not a known key; did you mean 'hidden_dim'?");
}

TEST_F(AliasesTest, TheCommandLineReachesThroughAnAlias) {
  write_run("[model_config]\npythia = \"a\"\na = \"b\"\n[model_config.b]\nhidden_dim = 1");
  const auto value = [&](const std::vector<std::string>& words, const char* key) {
    return to_string(*resolve(words).value().find(std::string("model_config.pythia.") + key));
  };
  EXPECT_EQ(value({}, "hidden_dim"), "1");
  for (const char* name : {"pythia", "a", "b"}) {
    const std::string to = std::string("model_config.") + name;
    EXPECT_EQ(value({to + ".hidden_dim=2"}, "hidden_dim"), "2") << name;
    EXPECT_EQ(value({to + ".losses[0]=mse"}, "losses"), "[\"mse\"]") << name;
  }
  EXPECT_EQ(value({"model_config={b={hidden_dim=3}}"}, "hidden_dim"), "3");
}

TEST_F(AliasesTest, ATableOfTheCommandLineReplacesAnAlias) {
  write_run("[model_config]\npythia = \"cnn_lstm\"\ncnn_lstm = {hidden_dim = 64}");
  EXPECT_EQ(resolve({"model_config.pythia={losses=[]}"})
                .get<std::int64_t>("model_config.pythia.hidden_dim"),
            256);
}

TEST_F(AliasesTest, TheCommandLineMakesAnAlias) {
  write_run("[model_config.pythia]\nhidden_dim = 1");
  const Config root = resolve({"model_config.pythia=mine", "model_config.mine.losses=[\"mse\"]"});
  EXPECT_EQ(root.get<std::int64_t>("model_config.pythia.hidden_dim"), 256);  // the file's is gone
  EXPECT_EQ(to_string(*root.value().find("model_config.pythia.losses")), "[\"mse\"]");
}

TEST_F(AliasesTest, ASavedConfigHasNoAliases) {
  write_run("[model_config]\npythia = \"mine\"\n[model_config.mine]\nhidden_dim = 64");
  const ResolvedConfig first = resolve_config(folder_ / "run.toml", {}, provider());
  folder_.write("config.toml", first.to_file());
  EXPECT_EQ(resolve_config(folder_ / "config.toml", {}, provider()).root.value(),
            first.root.value());
}

TEST_F(AliasesTest, AnAliasMakesNoModel) {
  write_run("[model_config]\nmine = \"pythia\"\npythia = {hidden_dim = 64}");
  EXPECT_EQ(complaint({"model=mine"}),
            "model = \"mine\" (command line) is unknown: no plugin found has a model of that name; "
            "model_config.mine = \"pythia\" (" +
                path("run.toml") +
                ":4:8) gives it a table and makes it no model: set model to the "
                "name of one, and the alias for that name");
  EXPECT_THAT(complaint(), StartsWith("model_config.mine (" + path("run.toml") +
                                      ":5:10) is unknown: no plugin found has a model of that"));
}

TEST_F(AliasesTest, ADataSetMayBeAnAliasToo) {
  write_run("[dataset_config]\neasy_vqa = \"short\"\nshort = {max_words = 3}");
  EXPECT_EQ(resolve().get<std::int64_t>("dataset_config.easy_vqa.max_words"), 3);
}

TEST_F(AliasesTest, SaysThatAnAliasLeadsNowhere) {
  write_run("[model_config]\npythia = \"other\"");
  EXPECT_EQ(complaint(), "model_config.pythia = \"other\" (" + path("run.toml") +
                             ":4:10) is an alias of a table that is not set; expected the name of "
                             "another table in model_config");
  write_run("[model_config]\npythia = \"cnn_lstm\"\ncnn_lstm = \"pythia\"");
  EXPECT_THAT(complaint(), HasSubstr(" is an alias of itself; "));
}

}  // namespace
}  // namespace pergola::host
