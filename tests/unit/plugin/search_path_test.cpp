// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/search_path.h"

#include "fixtures/plugins/plugin_files.h"
#include "fixtures/temp_folder.h"
#include "pergola/error.h"
#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using test::error_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SearchPathTest : public ::testing::Test {
 protected:
  std::string folder(const std::string& name) {
    const auto path = folder_.path() / name;
    std::filesystem::create_directories(path);
    return path.string();
  }
  // Nothing from anywhere.
  static SearchPathSources nothing() { return {{}, "", {}, "/nowhere"}; }

  fixtures::TempFolder folder_;
};

TEST_F(SearchPathTest, PlacesComeInTheDocumentedOrder) {
  const SearchPathSources sources = {{folder("option_b"), folder("option_a")},
                                     folder("env_1") + "::" + folder("env_2") + ":",
                                     {folder("config")},
                                     folder("default")};
  EXPECT_THAT(plugin_search_path(sources),
              ElementsAre(folder("option_b"), folder("option_a"), folder("env_1"), folder("env_2"),
                          folder("config"), folder("default")));
}

TEST_F(SearchPathTest, MissingDefaultFolderIsNoError) {
  EXPECT_THAT(plugin_search_path(nothing()), IsEmpty());
}

TEST_F(SearchPathTest, MissingNamedPlaceIsAnErrorThatSaysWhoNamedIt) {
  auto sources = nothing();
  sources.options = {"/nowhere/a"};
  EXPECT_THAT(error_of([&] { (void)plugin_search_path(sources); }),
              AllOf(HasSubstr("'/nowhere/a' of --plugin-path"), HasSubstr("it does not exist")));
  sources = nothing();
  sources.environment = folder("there") + ":/nowhere/b";
  EXPECT_THAT(error_of([&] { (void)plugin_search_path(sources); }),
              HasSubstr("'/nowhere/b' of PERGOLA_PLUGIN_PATH"));
  sources = nothing();
  sources.config = {"/nowhere/c"};
  EXPECT_THAT(error_of([&] { (void)plugin_search_path(sources); }),
              HasSubstr("'/nowhere/c' of plugins.path"));
}

TEST_F(SearchPathTest, SingleFileMayBeNamed) {
  auto sources = nothing();
  sources.options = {folder_.write("one.so", "").string()};
  EXPECT_THAT(plugin_search_path(sources), ElementsAre(sources.options[0]));
}

TEST_F(SearchPathTest, DefaultFolderStandsBesideTheProgramsFolder) {
  const auto program = std::filesystem::canonical("/proc/self/exe");
  EXPECT_EQ(default_plugin_folder(),
            program.parent_path().parent_path() / "lib" / "pergola" / "plugins");
}

TEST_F(SearchPathTest, EnvironmentIsReadFromPergolaPluginPath) {
  const test::ScopedVariable variable("PERGOLA_PLUGIN_PATH", "/a:/b");
  EXPECT_EQ(environment_plugin_path(), "/a:/b");
}

}  // namespace
}  // namespace pergola::host
