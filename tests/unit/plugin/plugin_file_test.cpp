// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/plugin_file.h"

#include "fixtures/plugins/plugin_files.h"
#include "pergola/abi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using test::fixture_plugin;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

TEST(PluginFileTest, GoodPluginIsUsable) {
  const auto plugin = inspect_plugin(fixture_plugin("good"));
  EXPECT_TRUE(plugin.usable()) << plugin.problem;
  ASSERT_TRUE(plugin.manifest && plugin.fingerprint);
  EXPECT_EQ(plugin.manifest->name, "good");
  EXPECT_EQ(*plugin.fingerprint, host_fingerprint());
}

TEST(PluginFileTest, AnotherSdkAbiIsATableAndTheManifestIsStillRead) {
  const auto plugin = inspect_plugin(fixture_plugin("other_abi"));
  EXPECT_THAT(plugin.problem,
              AllOf(HasSubstr("other_abi.so was built for another Pergola, LibTorch or compiler"),
                    ContainsRegex("sdk_abi +" PERGOLA_TEXT(PERGOLA_ABI_VERSION) " +9999 +DIFFERS"),
                    ContainsRegex("libtorch +2.11.0 +2.11.0 +same"), HasSubstr("cmake --build")));
  ASSERT_TRUE(plugin.manifest);
  EXPECT_EQ(plugin.manifest->name, "other_abi");
}

TEST(PluginFileTest, AnotherLibTorchIsATable) {
  EXPECT_THAT(inspect_plugin(fixture_plugin("other_libtorch")).problem,
              ContainsRegex("libtorch +2.11.0 +2.10.0 +DIFFERS"));
}

TEST(PluginFileTest, PlainSharedLibraryIsNoPlugin) {
  EXPECT_THAT(inspect_plugin(fixture_plugin("no_manifest")).problem,
              HasSubstr("is a shared library but no Pergola plugin: it has no section "
                        ".pergola.fingerprint; build it with pergola_add_plugin"));
}

TEST(PluginFileTest, PluginWithoutModelsSaysSo) {
  const auto plugin = inspect_plugin(fixture_plugin("no_models"));
  EXPECT_THAT(plugin.problem,
              AllOf(HasSubstr("no_models.so:plugin.toml"), HasSubstr("the plugin has no models")));
}

TEST(PluginFileTest, MissingFileIsAProblemAndNoException) {
  const auto plugin = inspect_plugin("/nowhere/x.so");
  EXPECT_FALSE(plugin.identity);
  EXPECT_THAT(plugin.problem, HasSubstr("No such file or directory"));
}

}  // namespace
}  // namespace pergola::host
