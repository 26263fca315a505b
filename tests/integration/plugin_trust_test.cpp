// SPDX-License-Identifier: BSD-3-Clause
// plugins.trust: whose plugins a run loads.
#include "integration/run_test.h"

namespace pergola::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class PluginTrust : public RunTest {
 protected:
  PluginTrust() { write(kFile, read_file(fixture_plugin("good"))); }

  void let_others_write() const {
    fs::permissions(path(kFile), fs::perms::others_write, fs::perm_options::add);
  }
  [[nodiscard]] Result train_with(const Words& more, const std::string& folder = "run") const {
    Words words = {"train",   "boring.toml",     "--run-dir",
                   folder,    "plugins.path=[]", "--plugin-path",
                   "plugins", "run_type=train",  "training.max_updates=1"};
    words.insert(words.end(), more.begin(), more.end());
    fs::remove(path("witness"));
    Launch train = launch(words);
    train.environment["PERGOLA_TEST_WITNESS"] = path("witness").string();
    return run(train);
  }
  // Whether code of the plugin ran in the last run.
  [[nodiscard]] bool code_ran() const { return fs::exists(path("witness")); }

  static constexpr const char* kFile = "plugins/good.so";
};

TEST_F(PluginTrust, AFileThatOthersCanWriteIsRefusedUnlessAnyIsTrusted) {
  let_others_write();
  expect_error(train_with({}), ExitCode::kPlugin,
               {"plugins/good.so is not trusted, since others than you and root could change it: "
                "anybody can write to ",
                "plugins/good.so (mode 0646)", "chmod go-w"});
  EXPECT_FALSE(code_ran());
  EXPECT_FALSE(fs::exists(path("run")));
  const Result list = pergola({"plugins", "list", "--plugin-path", "plugins"});
  expect_success(list);
  EXPECT_THAT(list.out, HasSubstr("good 0.1.0\tboring\trefused\tplugins/good.so\n"));
  expect_success(train_with({"plugins.trust=any"}));
  expect_error(train_with({"plugins.trust=anybody"}), ExitCode::kConfig,
               {"plugins.trust = \"anybody\" (command line) is not one of owner, locked, any"});
}

TEST_F(PluginTrust, ALockFilePinsTheContent) {
  expect_error(train_with({"plugins.trust=locked"}), ExitCode::kPlugin,
               {"there is no lock file pergola.lock; write it with `pergola plugins trust"});
  EXPECT_FALSE(code_ran());
  const Result added = pergola({"plugins", "trust", kFile});
  expect_success(added);
  EXPECT_THAT(added.out, ContainsRegex("^added\tgood 0.1.0\t[0-9a-f]{64}\tplugins/good.so\n$"));
  let_others_write();  // its content is what counts
  expect_success(train_with({"plugins.trust=locked"}));
  EXPECT_TRUE(code_ran());

  write(kFile, text(kFile) + '\0');  // a library all the same
  expect_error(train_with({"plugins.trust=locked"}, "second"), ExitCode::kPlugin,
               {"plugins/good.so is not the one in the lock file pergola.lock: it has 'good' 0.1.0 "
                "with SHA-256 ",
                "accept it with `pergola plugins trust plugins/good.so --lock-file pergola.lock`"});
  EXPECT_FALSE(code_ran());
  EXPECT_THAT(
      pergola({"plugins", "list", "--plugin-path", "plugins", "--lock-file", "pergola.lock"}).out,
      HasSubstr("good 0.1.0\tboring\trefused\t"));
  EXPECT_THAT(pergola({"plugins", "trust", "--plugin-path", "plugins"}).out,
              ContainsRegex("replaced\tgood 0.1.0\t"));
  expect_success(train_with({"plugins.trust=locked"}, "second"));
}

TEST_F(PluginTrust, TrustOfWhatCannotBeLoadedLeavesTheLockFileAsItIs) {
  expect_success(pergola({"plugins", "trust", kFile}));
  const std::string before = text("pergola.lock");
  write("plugins/text.so", "no library");
  expect_error(pergola({"plugins", "trust", "plugins/text.so"}), ExitCode::kPlugin,
               {"plugins/text.so is not a shared library"});
  EXPECT_EQ(text("pergola.lock"), before);
  expect_error(pergola({"plugins", "trust", kFile, "--lock-file", "nowhere/pergola.lock"}),
               ExitCode::kPlugin, {"cannot write nowhere/pergola.lock"});
  write("pergola.lock", "format_version = 1\n[[plugin]]\nname = \"\x1b[2J\"\n");
  const Result result = pergola({"plugins", "trust", kFile});
  EXPECT_EQ(result.exit_code, ExitCode::kPlugin) << result;
  EXPECT_THAT(result.err, Not(HasSubstr("\x1b")));
}

// Whoever gave a checkpoint away does not say whose plugins are loaded here.
TEST_F(PluginTrust, ACheckpointDoesNotSayWhomToTrust) {
  let_others_write();
  expect_success(train_with({"plugins.trust=any"}));
  const Words words = {"predict",
                       "--checkpoint",
                       "run",
                       "--text",
                       "what?",
                       "--image",
                       "data/easy_vqa/test/images/1.png",
                       "--plugin-path",
                       "plugins"};
  expect_error(pergola(words), ExitCode::kPlugin, {"plugins/good.so is not trusted"});
  Words trusting = words;
  trusting.emplace_back("plugins.trust=any");
  expect_success(pergola(trusting));
}

}  // namespace
}  // namespace pergola::test
