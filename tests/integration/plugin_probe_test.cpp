// SPDX-License-Identifier: BSD-3-Clause
// Plugins that would take the program with them: they are tried in a process of their own first.
#include "integration/run_test.h"

#include <csignal>

namespace pergola::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class PluginProbe : public RunTest {
 protected:
  // With a cache of its own, in the test's folder.
  [[nodiscard]] Launch launch(const Words& words) const {
    Launch launch = RunTest::launch(words);
    launch.environment["XDG_CACHE_HOME"] = path("cache").string();
    return launch;
  }
  [[nodiscard]] Launch train_launch(const std::string& fixture, const Words& more = {}) const {
    Words words = {"train",           "boring.toml",
                   "--run-dir",       "run",
                   "--plugin-path",   fixture_folder(fixture).string(),
                   "run_type=train",  "plugins.path=[]",
                   "model=" + fixture};
    words.insert(words.end(), more.begin(), more.end());
    return launch(words);
  }
  [[nodiscard]] Result list(const Words& more = {}) const {
    Words words = {"plugins", "list", "--plugin-path", "plugins", "--log-level", "debug"};
    words.insert(words.end(), more.begin(), more.end());
    return run(launch(words));
  }
  void place(const std::string& fixture) const {
    write("plugins/" + fixture + ".so", read_file(fixture_plugin(fixture)));
  }
};

struct Misbehaving {
  const char* fixture;
  const char* does;
};
void PrintTo(const Misbehaving& one, std::ostream* stream) { *stream << one.fixture; }

class MisbehavingPlugin : public PluginProbe, public ::testing::WithParamInterface<Misbehaving> {};
INSTANTIATE_TEST_SUITE_P(
    Fixtures, MisbehavingPlugin,
    ::testing::Values(
        Misbehaving{"crashes_on_load", "crashed with SIGSEGV (signal 11) while it was loaded"},
        Misbehaving{"aborts_on_load", "called abort() while it was loaded"},
        Misbehaving{"exits_on_load", "ended the process with exit code 3 while it was loaded"},
        Misbehaving{"exits_with_zero", "ended the process with exit code 0 while it was loaded"},
        Misbehaving{"allocates_on_load", "asked for more than 8 GiB of memory while it was loaded"},
        Misbehaving{"crashes_in_constructor",
                    "crashed with SIGFPE (signal 8) while its model 'crashes_in_constructor' was "
                    "made"}),
    [](const auto& param) { return std::string(param.param.fixture); });

TEST_P(MisbehavingPlugin, IsRefusedWithASentenceAndNothingIsHalfWritten) {
  const auto [fixture, does] = GetParam();
  const Result result = run(train_launch(fixture));
  expect_error(
      result, kPlugin,
      {"plugin " + std::string(fixture) + " (" + fixture_plugin(fixture).string() + ") " + does});
  expect_nothing_half_written();
  EXPECT_EQ(json("run/summary.json").at("status"), "failed");
  EXPECT_THAT(json("run/summary.json").at("error").get<std::string>(), HasSubstr(does));
  EXPECT_EQ(listing("cache"), (Words{"pergola/", "pergola/plugin_probes.json"}));
}

// It is the try that keeps it out.
TEST_F(PluginProbe, CanBeTurnedOff) {
  const Result result = run(train_launch("crashes_on_load", {"plugins.probe=false"}));
  EXPECT_EQ(result.killed_by, SIGSEGV) << result;
  EXPECT_FALSE(fs::exists(path("cache")));
}

// A device that is not there is an error of the config, and was one before plugins were tried.
TEST_F(PluginProbe, ErrorsOfTheConfigComeFirst) {
  expect_error(run(train_launch("crashes_on_load", {"training.device=cuda:99"})), kConfig,
               {"cuda:99"});
}

TEST_F(PluginProbe, TheListHasAVerdictOnEachAndTriesItOnce) {
  for (const char* name : {"crashes_on_load", "exits_with_zero", "good"}) place(name);
  write("plugins/text.so", "not a library");
  const Result first = list();
  expect_success(first);
  EXPECT_THAT(first.out, AllOf(HasSubstr("crashes_on_load 0.1.0\tcrashes_on_load\trefused\t"
                                         "plugins/crashes_on_load.so\n"),
                               HasSubstr("exits_with_zero 0.1.0\texits_with_zero\trefused\t"),
                               HasSubstr("good 0.1.0\tboring\tok\tplugins/good.so\n"),
                               HasSubstr("-\t-\trefused\tplugins/text.so\n")));
  EXPECT_THAT(first.err, AllOf(HasSubstr("warning: [plugin] plugin crashes_on_load "
                                         "(plugins/crashes_on_load.so) crashed with SIGSEGV"),
                               HasSubstr("tried good in a process of its own")));
  const Result second = list();
  EXPECT_EQ(second.out, first.out);
  EXPECT_THAT(second.err, AllOf(HasSubstr("crashed with SIGSEGV"), Not(HasSubstr("tried good")),
                                Not(HasSubstr("tried crashes_on_load"))));
}

TEST_F(PluginProbe, ARunTriesAPluginOnceAndOneThatFailedAgain) {
  const auto tries = [this](const std::string& fixture, const Words& more) {
    fs::remove_all(path("run"));
    Words words = {"--log-level", "debug"};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = run(train_launch(fixture, words));
    return result.err.find("] tried " + fixture + " in") != std::string::npos;
  };
  const Words one_update = {"model=boring", "training.max_updates=1"};
  EXPECT_TRUE(tries("good", one_update));
  EXPECT_FALSE(tries("good", one_update));
  EXPECT_TRUE(tries("crashes_on_load", {}));
  EXPECT_TRUE(tries("crashes_on_load", {}));
}

// Whoever gave a checkpoint away does not say that its plugin needs no try.
TEST_F(PluginProbe, ACheckpointDoesNotTurnItOff) {
  place("good");
  expect_success(
      run(launch({"train", "boring.toml", "--run-dir", "run", "plugins.path=[]", "--plugin-path",
                  "plugins", "run_type=train", "training.max_updates=1", "plugins.probe=false"})));
  EXPECT_FALSE(fs::exists(path("cache")));
  const Words predict = {"predict",
                         "--checkpoint",
                         "run",
                         "--text",
                         "what?",
                         "--image",
                         "data/easy_vqa/test/images/1.png",
                         "--plugin-path",
                         "plugins"};
  expect_success(run(launch(predict)));
  EXPECT_TRUE(fs::exists(path("cache/pergola/plugin_probes.json")));
}

// The fixture's witness is there when it has begun to hang.
TEST_F(PluginProbe, CtrlCEndsTheWaitForOneThatHangs) {
  Launch launch = train_launch("hangs_on_load");
  launch.environment["PERGOLA_TEST_WITNESS"] = path("witness").string();
  Process process(launch);
  ASSERT_TRUE(wait_until(process, [&] { return fs::exists(path("witness")); }));
  process.send(SIGINT);
  const Result stopped = process.wait(std::chrono::seconds(5));  // the try itself takes 10
  EXPECT_EQ(stopped.exit_code, 128 + SIGINT) << stopped;
  EXPECT_EQ(json("run/summary.json").at("status"), "interrupted");
  expect_nothing_half_written();
}

}  // namespace
}  // namespace pergola::test
