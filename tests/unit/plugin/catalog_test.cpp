// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/catalog.h"

#include "fixtures/plugins/plugin_files.h"
#include "pergola/error.h"
#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace pergola::host {
namespace {

using test::error_of;
using test::fixture_folder;
using test::fixture_plugin;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class PluginCatalogTest : public ::testing::Test {
 protected:
  // Names of the files that the catalog knows.
  static std::vector<std::string> names(const PluginCatalog& catalog) {
    std::vector<std::string> all;
    for (const PluginFile& file : catalog.files()) all.push_back(file.path.filename().string());
    return all;
  }

  test::PluginFolder folder_;
};

TEST_F(PluginCatalogTest, FolderIsListedByNameAndOnlyItsSoFiles) {
  folder_.copy_of("good", "b.so");
  folder_.copy_of("registers_nothing", "a.so");
  folder_.write("notes.txt", "hello");
  std::filesystem::create_directories(folder_.path() / "below");
  folder_.copy_of("liar", "below/c.so");
  EXPECT_THAT(names(PluginCatalog({folder_.path()})), ElementsAre("a.so", "b.so"));
}

TEST_F(PluginCatalogTest, PlacesKeepTheirOrderAndSingleFilesCount) {
  const PluginCatalog catalog({fixture_folder("liar"), fixture_plugin("good")});
  EXPECT_THAT(names(catalog), ElementsAre("liar.so", "good.so"));
  EXPECT_THAT(catalog.keys("model"), ElementsAre("boring", "promised"));
}

TEST_F(PluginCatalogTest, FileOfAModelIsFound) {
  const PluginCatalog catalog({fixture_folder("liar"), fixture_folder("good")});
  ASSERT_NE(catalog.find("model", "boring"), nullptr);
  EXPECT_EQ(catalog.find("model", "boring")->path, fixture_plugin("good"));
  EXPECT_EQ(catalog.find("loss", "boring"), nullptr);
  EXPECT_EQ(catalog.require("model", "boring").path, fixture_plugin("good"));
}

TEST_F(PluginCatalogTest, TwoFilesWithOneKeyAreAnErrorThatNamesBothWhenTheKeyIsAskedFor) {
  const PluginCatalog catalog(
      {fixture_folder("good"), fixture_folder("duplicate_key"), fixture_folder("liar")});
  EXPECT_NE(catalog.find("model", "promised"), nullptr);  // another key is not disturbed
  EXPECT_THAT(error_of([&] { (void)catalog.find("model", "boring"); }, ErrorKind::kPlugin),
              AllOf(HasSubstr("model 'boring' is offered by two plugins"), HasSubstr("/good.so"),
                    HasSubstr("/duplicate_key.so")));
}

TEST_F(PluginCatalogTest, OneFileReachedSeveralTimesIsOne) {
  std::filesystem::create_symlink(fixture_plugin("good"), folder_.path() / "link.so");
  const PluginCatalog catalog(
      {fixture_folder("good"), fixture_folder("good") / ".", folder_.path()});
  EXPECT_THAT(names(catalog), ElementsAre("good.so"));
  EXPECT_NO_THROW((void)catalog.require("model", "boring"));
}

TEST_F(PluginCatalogTest, UnknownModelOffersTheClosest) {
  const PluginCatalog catalog({fixture_folder("good")});
  EXPECT_THAT(error_of([&] { (void)catalog.require("model", "borin", "model (run.toml:3:9)"); }),
              AllOf(HasSubstr("model (run.toml:3:9): model 'borin' is in no plugin"),
                    HasSubstr("did you mean 'boring'?"), Not(HasSubstr("not usable"))));
}

TEST_F(PluginCatalogTest, HintIsTheClosestNameAloneOrWherePluginsWereLookedFor) {
  const PluginCatalog catalog({fixture_folder("good")});
  EXPECT_EQ(catalog.hint("borin", {"boring", "other"}), "; did you mean 'boring'?");
  EXPECT_EQ(catalog.hint("xyz", {"boring", "other"}),
            "; known are boring, other; plugins were looked for in " +
                fixture_folder("good").string() +
                "; name the folder that has it with --plugin-path");
  EXPECT_EQ(PluginCatalog({}).hint("xyz", {}),
            "; plugins were looked for in no folder; name the folder that has it with "
            "--plugin-path");
}

TEST_F(PluginCatalogTest, ConflictsAreTheKeysOfTwoUsableFiles) {
  folder_.patched_copy_of("good", "old.so", "libtorch = 2.11.0", "libtorch = 2.09.0");
  EXPECT_THAT(
      PluginCatalog({fixture_folder("good"), fixture_folder("liar"), folder_.path()}).conflicts(),
      IsEmpty());
  const PluginCatalog catalog({fixture_folder("good"), fixture_folder("duplicate_key")});
  EXPECT_THAT(
      catalog.conflicts(),
      ElementsAre(error_of([&] { (void)catalog.find("model", "boring"); }, ErrorKind::kPlugin)));
}

TEST_F(PluginCatalogTest, ConflictsAreFilesThatCannotBeInOneProcess) {
  EXPECT_THAT(
      PluginCatalog({fixture_folder("same_operators"), fixture_folder("same_operators_too"),
                     fixture_folder("good")})
          .conflicts(),
      ElementsAre(AllOf(HasSubstr("/same_operators.so and "),
                        HasSubstr("/same_operators_too.so cannot be loaded together: both "
                                  "define the operators of TORCH_LIBRARY(pergola_fixture"))));
}

TEST_F(PluginCatalogTest, FilesThatAreNotTrustedAreNotUsable) {
  const auto path = folder_.copy_of("good", "open.so");
  std::filesystem::permissions(path, std::filesystem::perms::others_write,
                               std::filesystem::perm_options::add);
  EXPECT_THAT(PluginCatalog({folder_.path()}).keys("model"), IsEmpty());
  EXPECT_THAT(PluginCatalog({folder_.path()}, {Trust::kAny, {}, {}}).keys("model"),
              ElementsAre("boring"));
}

TEST_F(PluginCatalogTest, KeysKnownElsewhereAreOfferedToo) {
  const PluginCatalog catalog({fixture_folder("good")});
  EXPECT_THAT(
      error_of([&] { (void)catalog.require("loss", "cross_entrop", "", {"cross_entropy"}); }),
      HasSubstr("did you mean 'cross_entropy'?"));
}

TEST_F(PluginCatalogTest, UnknownModelMentionsTheFilesThatCannotBeUsed) {
  folder_.write("broken.so", "not a library");
  const PluginCatalog catalog({folder_.path(), fixture_folder("other_abi")});
  try {
    (void)catalog.require("model", "boring");
    FAIL() << "no plugin offers it";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kPlugin);  // one of them may have it
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("'boring' is in no plugin; plugins were looked for in " +
                                folder_.path().string() + ", "),
                      HasSubstr("; name the folder that has it with --plugin-path\n"),
                      HasSubstr("broken.so is not a shared library"),
                      HasSubstr("other_abi.so was built for another Pergola")));
  }
}

TEST_F(PluginCatalogTest, KeyOfAnUnusableFileIsRefusedWithItsWholeProblem) {
  const PluginCatalog catalog({fixture_folder("other_abi")});
  try {
    (void)catalog.require("model", "other_abi");
    FAIL() << "the only file cannot be used";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kPlugin);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("9999"), HasSubstr("cmake --build build")));
  }
}

TEST_F(PluginCatalogTest, UsableFileWinsOverAnUnusableOneWithTheSameKey) {
  folder_.patched_copy_of("good", "old.so", "libtorch = 2.11.0", "libtorch = 2.09.0");
  const PluginCatalog catalog({folder_.path(), fixture_folder("good")});
  EXPECT_EQ(catalog.require("model", "boring").path, fixture_plugin("good"));
}

TEST_F(PluginCatalogTest, DanglingLinkIsAnUnusableFile) {
  std::filesystem::create_symlink("/nowhere/x.so", folder_.path() / "dangling.so");
  const PluginCatalog catalog({folder_.path()});
  ASSERT_EQ(catalog.files().size(), 1U);
  EXPECT_THAT(catalog.files()[0].problem, HasSubstr("dangling.so cannot be read"));
}

TEST_F(PluginCatalogTest, EmptyFolderHasNoKeys) {
  EXPECT_THAT(PluginCatalog({folder_.path()}).keys("model"), IsEmpty());
}

// Each file costs a few small reads, whatever its size; a hundred must not be felt at start-up.
TEST_F(PluginCatalogTest, HundredPluginsAreScannedInNoTime) {
  const auto bytes = test::read_file(fixture_plugin("registers_nothing"));
  for (int i = 0; i < 100; ++i) folder_.write("p" + std::to_string(i) + ".so", bytes);
  const auto begin = std::chrono::steady_clock::now();
  const PluginCatalog catalog({folder_.path()});
  const auto taken = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(catalog.files().size(), 100U);
  EXPECT_LT(taken, std::chrono::milliseconds(500));  // 15 ms are usual; sanitizers and load are not
}

TEST_F(PluginCatalogTest, NoCodeOfAnyPluginRuns) {
  const auto witness = folder_.path() / "witness";
  const test::ScopedVariable variable("PERGOLA_TEST_WITNESS", witness.string());
  const PluginCatalog catalog({fixture_folder("registers_nothing"), fixture_folder("no_manifest"),
                               fixture_folder("other_abi")});
  EXPECT_EQ(catalog.files().size(), 3U);
  EXPECT_FALSE(std::filesystem::exists(witness));
}

}  // namespace
}  // namespace pergola::host
