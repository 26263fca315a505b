// SPDX-License-Identifier: BSD-3-Clause
// Plugins that are wrong: exit code 3, the file's name, no step of training.
#include "integration/run_test.h"

namespace pergola::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class BadPlugin : public RunTest {
 protected:
  // Trains a model of a fixture plugin.
  [[nodiscard]] Result train_fixture(const std::string& fixture, const std::string& model) const {
    return train(
        {"plugins.path=[]", "--plugin-path", fixture_folder(fixture).string(), "model=" + model});
  }
  void expect_refused(const Result& result, const Words& parts) const {
    expect_error(result, kPlugin, parts);
    expect_nothing_half_written();
  }
};

// Files in a plugin folder that are no plugins at all, whatever their names promise.
struct BadFile {
  const char* name;
  std::string (*content)();
  const char* part;
};
void PrintTo(const BadFile& bad, std::ostream* stream) { *stream << bad.name; }

class BadPluginFile : public BadPlugin, public ::testing::WithParamInterface<BadFile> {};
INSTANTIATE_TEST_SUITE_P(
    Files, BadPluginFile,
    ::testing::Values(BadFile{"Text", [] { return std::string("not a library\n"); }, "ELF"},
                      BadFile{"Empty", [] { return std::string(); }, "is empty"},
                      BadFile{"Truncated",
                              [] { return read_file(fixture_plugin("good")).substr(0, 5000); },
                              "truncated"},
                      BadFile{"WithoutManifest",
                              [] { return read_file(fixture_plugin("no_manifest")); },
                              "no Pergola plugin"}),
    [](const auto& param) { return std::string(param.param.name); });

TEST_P(BadPluginFile, IsNamedWhenTheModelIsMissing) {
  write("plugins/good.so", GetParam().content());
  expect_refused(train({"plugins.path=[]", "--plugin-path", "plugins"}),
                 {"'boring'", "plugins/good.so", GetParam().part});
  EXPECT_FALSE(fs::exists(path("run")));
}

TEST_P(BadPluginFile, DoesNotDisturbARunThatDoesNotNeedIt) {
  write("plugins/other.so", GetParam().content());
  expect_success(train({"--plugin-path", "plugins", "training.max_updates=1", "run_type=train"}));
}

TEST_P(BadPluginFile, InspectSaysWhatItIs) {
  write("plugins/good.so", GetParam().content());
  expect_error(pergola({"plugins", "inspect", "plugins/good.so"}), kPlugin,
               {"plugins/good.so", GetParam().part});
}

TEST_P(BadPluginFile, ListShowsItAsRefused) {
  write("plugins/good.so", GetParam().content());
  const Result result = pergola({"plugins", "list", "--plugin-path", "plugins"});
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("-\t-\trefused\tplugins/good.so\n"));
  EXPECT_THAT(result.err, HasSubstr(GetParam().part));
}

TEST_F(BadPlugin, InspectOfAFileThatIsMissingSaysWhereToSeeThoseThatAreThere) {
  expect_error(pergola({"plugins", "inspect", "nope.so"}), kPlugin,
               {"there is no file nope.so; `pergola plugins list` shows"});
}

TEST_F(BadPlugin, ControlCharactersInItsFilesNameAreNotPrinted) {
  write("plugins/g\x1b[2J.so", read_file(fixture_plugin("good")));
  for (const Words& command :
       {Words{"doctor"}, Words{"plugins", "list"}, Words{"list", "models"}}) {
    Words words = command;
    words.insert(words.end(), {"--plugin-path", "plugins"});
    const Result result = pergola(words);
    EXPECT_THAT(result.out, HasSubstr("plugins/g\\x1b[2J.so"));
    EXPECT_THAT(result.out, ::testing::Not(HasSubstr("\x1b")));
  }
}

TEST_F(BadPlugin, OfAnotherSdkAbiIsRefusedWithTheFieldsThatDiffer) {
  const Result result = train_fixture("other_abi", "other_abi");
  expect_refused(
      result, {"other_abi.so was built for another Pergola, LibTorch or compiler", "rebuild it"});
  EXPECT_THAT(result.err, ::testing::ContainsRegex("sdk_abi +[0-9]+ +9999 +DIFFERS"));
  EXPECT_THAT(result.err, ::testing::ContainsRegex("libtorch +[0-9.]+ +[0-9.]+ +same"));
  EXPECT_FALSE(fs::exists(path("run")));
}

TEST_F(BadPlugin, OfAnotherLibTorchIsRefusedWithTheFieldsThatDiffer) {
  const Result result = train_fixture("other_libtorch", "other_libtorch");
  expect_refused(result, {"other_libtorch.so was built for another", "cmake -B build"});
  EXPECT_THAT(result.err, ::testing::ContainsRegex("libtorch +[0-9.]+ +[0-9.]+ +DIFFERS"));
}

TEST_F(BadPlugin, WithAnUndefinedSymbolIsRefusedWithItsName) {
  expect_refused(train_fixture("undefined_symbol", "undefined_symbol"),
                 {"undefined_symbol.so uses fixture::defined_nowhere(int)", "SOURCES"});
}

TEST_F(BadPlugin, WithoutModelsHasNoneToOffer) {
  const Result result =
      pergola({"list", "models", "--plugin-path", fixture_folder("no_models").string()});
  expect_success(result);
  EXPECT_THAT(result.out, ::testing::Not(HasSubstr("no_models")));
  expect_refused(train_fixture("no_models", "no_models"),
                 {"model 'no_models' is in no plugin", "no_models.so", "the plugin has no models"});
}

TEST_F(BadPlugin, ThatRegistersNothingIsRefused) {
  expect_refused(
      train_fixture("registers_nothing", "registers_nothing"),
      {"registers nothing, although its plugin.toml promises model 'registers_nothing'"});
}

TEST_F(BadPlugin, ThatRegistersAnotherKeyIsRefused) {
  expect_refused(train_fixture("liar", "promised"),
                 {"liar.so does not keep what its plugin.toml says", "'delivered'"});
}

TEST_F(BadPlugin, WithTheKeyOfAnotherIsAnErrorThatNamesBoth) {
  expect_refused(train({"--plugin-path", fixture_folder("duplicate_key").string()}),
                 {"model 'boring' is offered by two plugins", "good.so", "duplicate_key.so"});
}

TEST_F(BadPlugin, WhoseBuildThrowsIsNamedWithItsReason) {
  expect_refused(train_fixture("build_throws", "build_throws"),
                 {"build() of model 'build_throws' (plugin build_throws 0.1.0) failed: the word "
                  "vectors are missing"});
}

TEST_F(BadPlugin, WhoseForwardReturnsNothingIsToldWhatToReturn) {
  expect_refused(train_fixture("forward_without_scores", "forward_without_scores"),
                 {"returned neither scores nor losses", "ModelOutput",
                  " (in validation_step() of model 'forward_without_scores', plugin "
                  "forward_without_scores 0.1.0, at batch 0)"});
}

TEST_F(BadPlugin, ThatThrowsInAStaticConstructorEndsWithASentence) {
  const Result result = train_fixture("static_throw", "static_throw");
  EXPECT_EQ(result.exit_code, kPlugin) << result;
  EXPECT_THAT(result.err,
              HasSubstr("static_throw.so threw in a static constructor: no licence server"));
  expect_nothing_half_written();
}

TEST_F(BadPlugin, ThatMayNotBeReadIsRefused) {
  write("plugins/good.so", read_file(fixture_plugin("good")));
  fs::permissions(path("plugins/good.so"), fs::perms::none);
  Launch launch = train_launch({"plugins.path=[]", "--plugin-path", "plugins"});
  launch.prepare = &drop_root_override;
  expect_refused(run(launch), {"plugins/good.so", "Permission denied"});
}

}  // namespace
}  // namespace pergola::test
