// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/hook.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace pergola::host {
namespace {

std::string name_of(const Hook& hook) {
  std::string text;
  spell_hook(hook, [&text](std::string_view part) { text += part; });
  return text;
}

std::string moment_of(const Hook& hook) {
  std::string text;
  spell_moment(hook, [&text](std::string_view part) { text += part; });
  return text;
}

KnownPlugin& remember(const std::string& name, const std::string& kind, const std::string& key) {
  auto plugin = std::make_unique<KnownPlugin>();
  plugin->name = name;
  plugin->load_path = "/proc/1/fd/" + name;
  plugin->classes = {{"loss", "other"}, {kind, key}};
  return remember_plugin(std::move(plugin));
}

TEST(HookTest, IsSpelledWithWhatIsKnownOfIt) {
  EXPECT_EQ(name_of({"forward()"}), "forward()");
  EXPECT_EQ(name_of({"step()", "optimizer"}), "step() of the optimizer");
  EXPECT_EQ(name_of({"build()", "model", "pythia"}), "build() of model 'pythia'");
  EXPECT_EQ(name_of({"get()", "dataset", "easy_vqa", "val", " or of its processors"}),
            "get() of data set 'easy_vqa' (val) or of its processors");
}

TEST(HookTest, IsOfTheUpdateInHandAndOfItsBatch) {
  const Hook plain{"forward()"};
  const Hook of_batch{.name = "validation_step()", .batch = 0};
  EXPECT_EQ(moment_of(plain), "");
  EXPECT_EQ(moment_of(of_batch), "batch 0");
  {
    const UpdateScope training;
    EXPECT_EQ(UpdateScope::update(), UpdateScope::kNone);
    UpdateScope::set(12);
    EXPECT_EQ(moment_of(plain), "update 12");
    EXPECT_EQ(moment_of(of_batch), "update 12, batch 0");
  }
  EXPECT_EQ(moment_of(plain), "");
}

TEST(HookTest, IsOfThePluginThatBringsItsClassOnceThatIsRegistered) {
  KnownPlugin& plugin = remember("one", "metric", "score");
  const Hook own{"update()", "metric", "score"};
  EXPECT_EQ(plugin_of(own), nullptr);
  plugin.is_registered = true;
  EXPECT_EQ(plugin_of(own), &plugin);
  EXPECT_EQ(plugin_of({"update()", "metric", "other"}), nullptr);
  EXPECT_EQ(plugin_of({"update()", "model", "score"}), nullptr);
  EXPECT_EQ(plugin_of({.name = "update()", .kind = "metric", .key = "mine", .type = "score"}),
            &plugin);
}

TEST(HookTest, ALibraryIsFoundByWhatTheLoaderCallsItFromTheStart) {
  const KnownPlugin& plugin = remember("two", "model", "two");
  EXPECT_EQ(plugin_loaded_as("/proc/1/fd/two"), &plugin);
  EXPECT_EQ(plugin_loaded_as("/proc/1/fd/3"), nullptr);
}

TEST(HookTest, ScopesNestAndAreOfTheirThread) {
  const Hook outer{"outer"};
  const Hook inner{"inner"};
  EXPECT_EQ(*HookScope::place(), nullptr);
  {
    const HookScope around(outer);
    {
      const HookScope within(inner);
      EXPECT_EQ((*HookScope::place())->hook().name, "inner");
      std::thread([] { EXPECT_EQ(*HookScope::place(), nullptr); }).join();
    }
    EXPECT_EQ((*HookScope::place())->hook().name, "outer");
  }
  EXPECT_EQ(*HookScope::place(), nullptr);
}

}  // namespace
}  // namespace pergola::host
