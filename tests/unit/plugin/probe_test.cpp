// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/probe.h"

#include "fixtures/plugins/plugin_files.h"
#include "host/plugin/catalog.h"
#include "host/plugin/library.h"
#include "pergola/error.h"
#include "pergola/registry.h"
#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::error_of;
using test::fixture_plugin;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kNextStep =
    "; it was tried in a process of its own, and does not get into this one; to look at it in a "
    "debugger: `gdb --args pergola train CONFIG plugins.probe=false`";

std::string problem_of(const std::string& fixture, const ChildLimits& limits = {}) {
  const ProbeResult result = probe_plugin(inspect_plugin(fixture_plugin(fixture)), {}, limits);
  EXPECT_TRUE(result.tried);
  return result.problem;
}

std::string plugin(const std::string& fixture) {
  return "plugin " + fixture + " (" + fixture_plugin(fixture).string() + ") ";
}

TEST(ProbeTest, NothingIsWrongWithAGoodPlugin) { EXPECT_EQ(problem_of("good"), ""); }

struct Misbehaviour {
  std::string fixture;
  std::string does;
};
void PrintTo(const Misbehaviour& one, std::ostream* stream) { *stream << one.fixture; }

class ProbedPluginTest : public ::testing::TestWithParam<Misbehaviour> {};
INSTANTIATE_TEST_SUITE_P(
    Fixtures, ProbedPluginTest,
    ::testing::Values(
        Misbehaviour{"crashes_on_load", "crashed with SIGSEGV (signal 11) while it was loaded"},
        Misbehaviour{"aborts_on_load",
                     "called abort() while it was loaded (the last that it wrote: no licence: "
                     "\\x1b[31mgiving up\\x1b[0m)"},
        Misbehaviour{"exits_on_load", "ended the process with exit code 3 while it was loaded"},
        Misbehaviour{"exits_with_zero", "ended the process with exit code 0 while it was loaded"},
        // The model before it throws, which is no fault: a run may have another config.
        Misbehaviour{"crashes_in_constructor",
                     "crashed with SIGFPE (signal 8) while its model 'crashes_in_constructor' was "
                     "made"}),
    [](const auto& param) { return param.param.fixture; });

TEST_P(ProbedPluginTest, IsASentenceInPlaceOfTheEndOfTheProcess) {
  const Misbehaviour& one = GetParam();
  EXPECT_EQ(problem_of(one.fixture), plugin(one.fixture) + one.does + kNextStep);
}

TEST(ProbeTest, OneThatHangsIsEndedInTime) {
  ChildLimits limits;
  limits.time = 300ms;
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(problem_of("hangs_on_load", limits),
            plugin("hangs_on_load") + "did not come to an end within 300 ms while it was loaded" +
                kNextStep);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);  // it would wait for ever
}

TEST(ProbeTest, OneThatTakesMemoryWithoutEndIsRefusedBeforeTheMachineHasNone) {
  ChildLimits limits;
  limits.memory = 3ULL << 30U;  // of which the fixture takes pieces of 1 GiB
#ifdef __SANITIZE_ADDRESS__     // its operator new ends the process with a report of its own
  EXPECT_THAT(problem_of("allocates_on_load", limits), StartsWith(plugin("allocates_on_load")));
#else
  EXPECT_EQ(problem_of("allocates_on_load", limits),
            plugin("allocates_on_load") +
                "asked for more than 3 GiB of memory while it was loaded" + kNextStep);
#endif
}

TEST(ProbeTest, WhatAStaticConstructorThrewIsTold) {
  EXPECT_EQ(problem_of("static_throw"),
            "plugin " + fs::canonical(fixture_plugin("static_throw")).string() +
                " threw in a static constructor: no licence server; that cannot be caught, so move "
                "what can fail from static objects into build()");
}

// They would let the host write into other files than it means to.
TEST(ProbeTest, OneThatClosesTheOutputOrLeavesTheFolderIsRefused) {
  EXPECT_EQ(problem_of("closes_output"),
            "plugin " + fixture_plugin("closes_output").string() +
                " closes stdout while it is loaded, and what the program says would get into the "
                "next file that is opened; leave it open");
  EXPECT_EQ(problem_of("leaves_folder"),
            "plugin " + fixture_plugin("leaves_folder").string() +
                " goes to / while it is loaded, and the relative paths of the run would name other "
                "files; leave the working directory as it is");
}

// Nothing is lost by trying first.
TEST(ProbeTest, WhatTheLoaderRefusesIsToldInItsWords) {
  for (const char* name : {"liar", "undefined_symbol", "registers_nothing"}) {
    Registry registry;
    PluginLoader loader(registry);
    const auto refusal = error_of([&] { loader.load(fixture_plugin(name)); }, ErrorKind::kPlugin);
    EXPECT_EQ(problem_of(name), refusal);
  }
}

TEST(ProbeTest, WhereNoChildCanBeMadeNothingIsSaidAgainstThePlugin) {
  const PluginFile file = inspect_plugin(fixture_plugin("crashes_on_load"));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;  // no descriptor for a pipe
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const ProbeResult result = probe_plugin(file, {});
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_FALSE(result.tried);
  EXPECT_EQ(result.problem, "");
}

class PluginProberTest : public ::testing::Test {
 protected:
  // Of one process: what is known of the file is read, and kept in the end.
  std::string ask(const fs::path& path, Failures failures = Failures::kBelieve) {
    PluginProber prober({}, failures, cache_);
    std::string problem = prober.problem_of(inspect_plugin(path));
    tried_ = prober.tried() > 0;
    return problem;
  }

  test::PluginFolder folder_;
  fs::path cache_ = folder_ / "cache/probes.json";
  fs::path good_ = folder_.copy_of("good", "good.so");
  bool tried_ = false;
};

TEST_F(PluginProberTest, AGoodPluginIsTriedOnce) {
  EXPECT_EQ(ask(good_), "");
  EXPECT_TRUE(tried_);
  EXPECT_EQ(ask(good_, Failures::kTryAgain), "");
  EXPECT_FALSE(tried_);
}

TEST_F(PluginProberTest, TheSameContentUnderAnotherNameIsNotTriedAgain) {
  EXPECT_EQ(ask(good_), "");
  EXPECT_EQ(ask(folder_.copy_of("good", "copy.so")), "");
  EXPECT_FALSE(tried_);
  fs::last_write_time(good_, fs::last_write_time(good_) + 1s);
  EXPECT_EQ(ask(good_), "");
  EXPECT_FALSE(tried_);
}

TEST_F(PluginProberTest, AnotherContentIsTried) {
  EXPECT_EQ(ask(good_), "");
  folder_.patched_copy_of("good", "good.so", "with nothing wrong", "with nothing worng");
  EXPECT_EQ(ask(good_), "");
  EXPECT_TRUE(tried_);
}

// Of a list of plugins it is believed; a run, which it stops, tries whether that still holds.
TEST_F(PluginProberTest, AFailureIsBelievedWhereItStopsNothing) {
  const fs::path path = folder_.copy_of("crashes_on_load", "crashes.so");
  const std::string problem = ask(path);
  EXPECT_THAT(problem, AllOf(HasSubstr(path.string()), HasSubstr("SIGSEGV")));
  EXPECT_EQ(ask(path), problem);
  EXPECT_FALSE(tried_);
  EXPECT_EQ(ask(path, Failures::kTryAgain), problem);
  EXPECT_TRUE(tried_);
}

// Its sentence has the other file's name.
TEST_F(PluginProberTest, AFailureOfACopyIsToldWithTheCopysName) {
  ask(folder_.copy_of("crashes_on_load", "crashes.so"));
  const fs::path copy = folder_.copy_of("crashes_on_load", "copy.so");
  EXPECT_THAT(ask(copy), HasSubstr("(" + copy.string() + ")"));
}

// The least of a few, since other tests run beside this one. Measured on two cores: 6 ms, and 7 ms.
TEST_F(PluginProberTest, NeitherATryNorALookAtAHundredIsNoticed) {
#if !defined(NDEBUG) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "nothing is promised of a build that is not for use";
#endif
  constexpr int kTimes = 5;
  const auto least = [](const auto& work) {
    auto best = std::chrono::steady_clock::duration::max();
    for (int i = 0; i < kTimes; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      work();
      best = std::min(best, std::chrono::steady_clock::now() - begin);
    }
    return best;
  };
  const PluginFile file = inspect_plugin(good_);
  EXPECT_LT(least([&] { EXPECT_EQ(probe_plugin(file, {}).problem, ""); }), 20ms);

  for (int i = 0; i < 100; ++i) folder_.copy_of("good", concat("many/", i, ".so"));
  const auto look = [&] {
    const PluginCatalog catalog({folder_ / "many"});
    PluginProber prober({}, Failures::kBelieve, cache_);
    for (const PluginFile& one : catalog.files()) EXPECT_EQ(prober.problem_of(one), "");
  };
  look();
  EXPECT_LT(least(look), 50ms);
}

TEST_F(PluginProberTest, WithoutACacheItIsTriedEveryTime) {
  cache_.clear();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(ask(good_), "");
    EXPECT_TRUE(tried_);
  }
}

}  // namespace
}  // namespace pergola::host
