// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/model_table.h"

#include "unit/config/config_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using ::testing::HasSubstr;

class ModelTableTest : public ConfigFixture {
 protected:
  // A config that begins with `model`, resolved, with one checkpoint, /runs/old.
  [[nodiscard]] Config resolve(const std::string& model, const std::string& rest = "",
                               const std::vector<std::string>& overrides = {}) const {
    folder_.write("run.toml", "model = " + model + "\ndataset = \"easy_vqa\"\n" + rest);
    const SavedModelReader read = [](const std::filesystem::path& path,
                                     const std::filesystem::path& run_dir) {
      EXPECT_EQ(path, "/runs/old");
      EXPECT_EQ(run_dir, "runs/run");
      return SavedModel{path / "checkpoints/best", "pythia",
                        parse_toml("hidden_dim = 7\nencoder.params.size = 9", "state.json")};
    };
    return resolve_config(folder_ / "run.toml", parse_overrides(overrides), provider(), read).root;
  }
  [[nodiscard]] std::string complaint(const std::string& model,
                                      const std::string& rest = "") const {
    return test::error_of([&] { static_cast<void>(resolve(model, rest)); });
  }
};

TEST_F(ModelTableTest, WithATypeItIsShortForTwoKeys) {
  const Config root = resolve(R"({ type = "cnn_lstm", pretrained = "${env.data_dir}/a$${b" })", "",
                              {"env.data_dir=/data"});
  EXPECT_EQ(root.get<std::string>("model"), "cnn_lstm");
  EXPECT_EQ(root.get<std::string>("checkpoint.pretrained"), "/data/a${b");
  EXPECT_EQ(root.get<std::int64_t>("model_config.cnn_lstm.hidden_dim"), 128);
}

TEST_F(ModelTableTest, WithoutATypeTheModelAndItsConfigAreTheCheckpoints) {
  const Config root =
      resolve(R"({ pretrained = "/runs/old" })", "model_config.pythia.encoder.params.size = 5\n");
  EXPECT_EQ(root.get<std::string>("model"), "pythia");
  EXPECT_EQ(root.get<std::string>("checkpoint.pretrained"), "/runs/old/checkpoints/best");
  EXPECT_EQ(root.get<std::int64_t>("model_config.pythia.hidden_dim"), 7);
  EXPECT_EQ(root.get<std::int64_t>("model_config.pythia.encoder.params.size"), 5)
      << "the file goes over the checkpoint";
}

TEST_F(ModelTableTest, CommandLineGoesOverIt) {
  EXPECT_EQ(
      resolve(R"({ pretrained = "/runs/old" })", "", {"model=cnn_lstm"}).get<std::string>("model"),
      "cnn_lstm");
  const Config root = resolve("\"cnn_lstm\"", "", {R"(model={pretrained="/runs/old"})"});
  EXPECT_EQ(root.get<std::string>("model"), "pythia");
  EXPECT_EQ(resolve(R"({ pretrained = "/runs/old" })", "", {"model_config.pythia.hidden_dim=3"})
                .get<std::int64_t>("model_config.pythia.hidden_dim"),
            3);
}

TEST_F(ModelTableTest, WhatDoesNotFitIsRefused) {
  EXPECT_THAT(complaint(R"({ type = "pythia" })"), HasSubstr("model.pretrained is missing"));
  EXPECT_THAT(complaint(R"({ pretrained = "" })"),
              HasSubstr("model.pretrained = \"\" (" + path("run.toml") +
                        ":1:24) is empty; leave it out, or say which"));
  EXPECT_THAT(complaint(R"({ pretraind = "/runs/old" })"), HasSubstr("did you mean 'pretrained'?"));
  EXPECT_THAT(complaint(R"({ type = "pythia", pretrained = "a" })", "checkpoint.pretrained = 'b'"),
              HasSubstr("says what checkpoint.pretrained says, too; leave out one"));
  EXPECT_THAT(complaint("[1]"), HasSubstr("expected a string"));
  folder_.write("run.toml", "model = { pretrained = \"a\" }\ndataset = \"easy_vqa\"\n");
  EXPECT_THAT(ConfigFixture::complaint(), HasSubstr("model.type is missing; it names the model"));
}

}  // namespace
}  // namespace pergola::host
