// SPDX-License-Identifier: BSD-3-Clause
// Checkpoints that another version of the model's plugin saved.
#include "integration/run_test.h"

#include <cstring>

namespace pergola::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class MigrationTest : public RunTest {
 protected:
  MigrationTest() {
    write("migrates.toml", common_config() + "model = \"migrates\"\n");
    write_version("1.0.0");
    expect_success(run({"train", "training.max_updates=2"}));
  }

  // The plugin as if it were of that version, which has five characters.
  void write_version(const std::string& version) const {
    const std::string own = "version = \"2.0.0\"";
    std::string bytes = read_file(fixture_plugin("migrates"));
    bytes.replace(bytes.find(own), own.size(), "version = \"" + version + "\"");
    replace("plugins/migrates.so", bytes);
  }
  // Without a learning rate, so that the weight is 1 but for what a migration does.
  [[nodiscard]] Result run(const Words& more) const {
    Words words = more;
    words.insert(words.begin() + 1, "migrates.toml");
    words.insert(words.end(), {"--plugin-path", "plugins", "--run-dir", "run", "run_type=train",
                               "optimizer.params.lr=0"});
    return pergola(words);
  }
  // The only weight, which is the end of the file.
  [[nodiscard]] float factor() const {
    const std::string bytes = text(weights());
    float value = 0;
    std::memcpy(&value, bytes.data() + bytes.size() - sizeof(value), sizeof(value));
    return value;
  }
};

TEST_F(MigrationTest, CheckpointSaysWhichPluginSavedIt) {
  const Json plugin = json("run/checkpoints/last/state.json").at("plugin");
  EXPECT_EQ(plugin.at("name"), "migrates");
  EXPECT_EQ(plugin.at("version"), "1.0.0");
  EXPECT_EQ(plugin.at("sha256").get<std::string>().size(), 64U);
  EXPECT_EQ(plugin.at("fingerprint").at("libtorch"), "2.11.0");
  EXPECT_EQ(factor(), 1);
}

TEST_F(MigrationTest, TheModelBringsAnOlderOneOver) {
  write_version("2.0.0");
  const Result tested = run({"test", "--checkpoint", "run/checkpoints/last"});
  expect_success(tested);
  const std::string line =
      "[checkpoint] saved by 1.0.0 of plugin 'migrates', loaded by 2.0.0, whose migrate_state() "
      "brought it over\n";
  EXPECT_THAT(tested.err, HasSubstr(line));
  const Result resumed = run({"train", "--resume", "training.max_updates=3"});
  expect_success(resumed);
  EXPECT_THAT(resumed.err, HasSubstr(line));
  EXPECT_EQ(factor(), 2);
  const Json state = json("run/checkpoints/last/state.json");
  EXPECT_EQ(state.at("extras").at("from"), "1.0.0");
  EXPECT_EQ(state.at("plugin").at("version"), "2.0.0");
  EXPECT_THAT(run({"test", "--checkpoint", "run/checkpoints/last"}).err,
              Not(HasSubstr("migrate_state()")));
}

// The averaged weights are in model.safetensors: without a learning rate they stay what the weights
// are, unless only one of the two was brought over.
TEST_F(MigrationTest, AveragedWeightsAreBroughtOverWithTheOthers) {
  const std::string average = "training.ema.enabled=true";
  expect_success(run({"train", "--overwrite", "training.max_updates=2", average}));
  write_version("2.0.0");
  expect_success(run({"train", "--resume", "training.max_updates=4", average}));
  EXPECT_EQ(factor(), 2);
}

TEST_F(MigrationTest, AVersionThatTheModelDoesNotKnowIsRefused) {
  write_version("2.0.0");
  expect_success(run({"train", "--resume", "training.max_updates=3"}));
  write_version("3.0.0");
  for (const Words& words : {Words{"test", "--checkpoint", "run/checkpoints/last"},
                             Words{"train", "--resume", "training.max_updates=4"}}) {
    expect_error(run(words), kCheckpoint,
                 {"the checkpoint was saved by 2.0.0 of plugin 'migrates', this is 3.0.0, and "
                  "migrate_state() of model 'migrates' does not know that version; use the "
                  "plugin's version 2.0.0, or begin with the weights that fit: "
                  "checkpoint.pretrained"});
  }
}

TEST_F(MigrationTest, WithinAMajorVersionItIsLoadedAsItIs) {
  write_version("2.0.0");
  expect_success(run({"train", "--resume", "training.max_updates=3"}));
  write_version("2.1.0");
  const Result result = run({"test", "--checkpoint", "run/checkpoints/last"});
  expect_success(result);
  EXPECT_THAT(result.err,
              HasSubstr("[checkpoint] saved by 2.0.0 of plugin 'migrates', loaded by 2.1.0\n"));
}

}  // namespace
}  // namespace pergola::test
