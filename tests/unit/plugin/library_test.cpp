// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/library.h"

#include "fixtures/plugins/plugin_files.h"
#include "host/plugin/elf_symbols.h"
#include "host/plugin/publish.h"
#include "host/support/hash.h"
#include "pergola/registry.h"
#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using test::error_of;
using test::fixture_plugin;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Libraries stay mapped, so a test that must see a constructor run loads a copy of a fixture.
class PluginLoaderTest : public ::testing::Test {
 protected:
  // The message when a file is refused. Checks the kind, and that nothing was registered.
  std::string refusal_of(const std::filesystem::path& path) {
    const auto before = registry_.keys(Kind::kModel);
    try {
      loader_.load(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kPlugin);
      EXPECT_EQ(registry_.keys(Kind::kModel), before);
      EXPECT_THAT(collect_announcements(), IsEmpty());
      return error.what();
    }
    ADD_FAILURE() << path << " was loaded";
    return "";
  }

  test::PluginFolder folder_;
  Registry registry_;
  PluginLoader loader_{registry_};
};

TEST_F(PluginLoaderTest, GoodPluginIsLoadedAndItsModelIsMade) {
  const LoadedPlugin& plugin = loader_.load(fixture_plugin("good"));
  EXPECT_EQ(plugin.manifest.name, "good");
  EXPECT_EQ(plugin.path, std::filesystem::canonical(fixture_plugin("good")));
  EXPECT_EQ(registry_.library(Kind::kModel, "boring"), plugin.path.string());

  Value::Table table = plugin.manifest.models.at("boring").config.as_table();
  table["num_final_outputs"] = 5;
  const auto model = registry_.make_model("boring", Config(Value(table)));
  model->build();
  SampleList batch;
  batch.add_field("image", at::ones({2, 3, 8, 8}));
  EXPECT_EQ(model->forward(batch).scores.sizes(), (std::vector<std::int64_t>{2, 5}));
}

TEST_F(PluginLoaderTest, SamePathTwiceIsLoadedOnce) {
  const LoadedPlugin& first = loader_.load(fixture_plugin("good"));
  const auto link = folder_.path() / "link.so";
  std::filesystem::create_symlink(fixture_plugin("good"), link);
  EXPECT_EQ(&loader_.load(fixture_plugin("good")), &first);
  EXPECT_EQ(&loader_.load(link), &first);
  EXPECT_THAT(loader_.loaded(), ElementsAre(&first));
}

TEST_F(PluginLoaderTest, SecondRegistryGetsTheFactoriesToo) {
  loader_.load(fixture_plugin("good"));
  Registry other;
  PluginLoader(other).load(fixture_plugin("good"));
  EXPECT_TRUE(other.has(Kind::kModel, "boring"));
}

TEST_F(PluginLoaderTest, SecondPluginWithTheSameKeyIsRefusedAndBothAreNamed) {
  loader_.load(fixture_plugin("good"));
  EXPECT_THAT(refusal_of(fixture_plugin("duplicate_key")),
              AllOf(HasSubstr("'boring'"), HasSubstr("/good.so"), HasSubstr("/duplicate_key.so")));
  EXPECT_EQ(registry_.library(Kind::kModel, "boring"),
            std::filesystem::canonical(fixture_plugin("good")).string());
}

TEST_F(PluginLoaderTest, CodeThatDoesNotKeepThePromiseIsRefusedEveryTime) {
  const std::string refusal = refusal_of(fixture_plugin("liar"));
  EXPECT_THAT(refusal, AllOf(HasSubstr("liar.so does not keep what its plugin.toml says"),
                             HasSubstr("its code does not register model 'promised'"),
                             HasSubstr("its plugin.toml does not list model 'delivered'")));
  EXPECT_EQ(refusal_of(fixture_plugin("liar")), refusal);  // its constructors do not run again
}

TEST_F(PluginLoaderTest, CodeThatRegistersNothingIsRefused) {
  EXPECT_THAT(refusal_of(fixture_plugin("registers_nothing")),
              AllOf(HasSubstr("registers nothing"), HasSubstr("model 'registers_nothing'"),
                    HasSubstr("PERGOLA_REGISTER_MODEL")));
}

TEST_F(PluginLoaderTest, UndefinedSymbolIsNamedAsAuthorsWriteIt) {
  EXPECT_THAT(refusal_of(fixture_plugin("undefined_symbol")),
              AllOf(HasSubstr("undefined_symbol.so uses fixture::defined_nowhere(int)"),
                    HasSubstr("SOURCES"), HasSubstr("LINK")));
}

TEST_F(PluginLoaderTest, LibraryThatAPluginNeedsAndThatIsMissingIsNamed) {
  const auto path =
      folder_.patched_copy_of("registers_nothing", "lonely.so", "libc.so.6", "libq.so.6");
  EXPECT_THAT(refusal_of(path), AllOf(HasSubstr("lonely.so cannot be loaded: libq.so.6"),
                                      HasSubstr("`ldd` shows which")));
}

// A version that there will not be, in the place of a library that is there.
TEST_F(PluginLoaderTest, APluginThatNeedsCudaSaysWhatToDoInstead) {
  const auto path = folder_.patched_copy_of("registers_nothing", "of_cuda.so", "libstdc++.so.6",
                                            "libcublas.so.9");
  EXPECT_THAT(refusal_of(path),
              AllOf(HasSubstr("of_cuda.so needs libcublas.so.9, of CUDA, which is not there; "),
                    HasSubstr("takes ATen and pergola/ops.h"), HasSubstr("5_kernel.md")));
  EXPECT_THAT(needed_of_cuda(read_symbols(ElfFile(path))), ElementsAre("libcublas.so.9"));
  EXPECT_THAT(needed_of_cuda(read_symbols(ElfFile(fixture_plugin("good")))), IsEmpty());
}

TEST_F(PluginLoaderTest, NameThatDiffersFromTheBuildsIsRefused) {
  const auto path =
      folder_.patched_copy_of("registers_nothing", "renamed.so", "name = \"registers_nothing\"",
                              "name = \"registers_renamed\"");
  EXPECT_THAT(refusal_of(path), HasSubstr("use one name"));
}

TEST_F(PluginLoaderTest, GoodPluginLoadsAfterFailedOnes) {
  refusal_of(fixture_plugin("undefined_symbol"));
  refusal_of(fixture_plugin("liar"));
  refusal_of(fixture_plugin("registers_nothing"));
  loader_.load(fixture_plugin("good"));
  EXPECT_THAT(registry_.keys(Kind::kModel), ElementsAre("boring"));
}

TEST_F(PluginLoaderTest, PluginThatWasRebuiltUnderItsPathIsRefused) {
  const auto path = folder_.copy_of("good", "mine.so");
  loader_.load(path);
  std::filesystem::rename(folder_.copy_of("duplicate_key", "new.so"), path);
  EXPECT_THAT(refusal_of(path), HasSubstr("mine.so has changed since this process loaded it"));
}

TEST_F(PluginLoaderTest, NoRefusalBeforeLoadingRunsCode) {
  const auto witness = folder_.path() / "witness";
  const test::ScopedVariable variable("PERGOLA_TEST_WITNESS", witness.string());
  for (const char* name :
       {"other_abi", "other_libtorch", "no_models", "no_manifest", "undefined_symbol"}) {
    refusal_of(fixture_plugin(name));
    EXPECT_FALSE(std::filesystem::exists(witness)) << name;
  }
  std::string bytes = test::read_file(fixture_plugin("registers_nothing"));
  bytes.pop_back();
  refusal_of(folder_.write("truncated.so", bytes));
  EXPECT_FALSE(std::filesystem::exists(witness)) << "truncated";

  // The witness does speak when a library is loaded.
  refusal_of(folder_.copy_of("registers_nothing", "loaded.so"));
  EXPECT_TRUE(std::filesystem::exists(witness));
}

TEST_F(PluginLoaderTest, AFileThatOthersCanWriteIsRefusedBeforeItRuns) {
  const auto witness = folder_.path() / "witness";
  const test::ScopedVariable variable("PERGOLA_TEST_WITNESS", witness.string());
  const auto path = folder_.copy_of("registers_nothing", "open.so");
  std::filesystem::permissions(path, std::filesystem::perms::others_write,
                               std::filesystem::perm_options::add);
  EXPECT_THAT(refusal_of(path), HasSubstr("open.so is not trusted"));
  EXPECT_FALSE(std::filesystem::exists(witness));
}

TEST_F(PluginLoaderTest, WithALockFileItsContentAloneIsLoaded) {
  const auto path = folder_.copy_of("good", "pinned.so");
  TrustPolicy policy{Trust::kLocked, {}, "pergola.lock"};
  policy.lock.set({"good", "0.1.0", sha256(test::read_file(path))});
  Registry registry;
  PluginLoader loader(registry, policy);
  EXPECT_EQ(loader.load(path).path, std::filesystem::canonical(path));
  EXPECT_TRUE(registry.has(Kind::kModel, "boring"));
  const auto other =
      folder_.patched_copy_of("good", "other.so", "with nothing wrong", "with nothing worng");
  EXPECT_THAT(error_of([&] { loader.load(other); }, ErrorKind::kPlugin),
              HasSubstr("is not the one in the lock file pergola.lock"));
}

TEST_F(PluginLoaderTest, TwoThatCannotBeInOneProcessAreRefusedBeforeTheSecondRuns) {
  refusal_of(fixture_plugin("same_operators"));  // it is in the process all the same
  EXPECT_THAT(
      refusal_of(fixture_plugin("same_operators_too")),
      AllOf(HasSubstr("/same_operators_too.so and "), HasSubstr("/same_operators.so cannot"),
            HasSubstr("TORCH_LIBRARY(pergola_fixture, ...)")));
  refusal_of(fixture_plugin("exports_helper"));
  EXPECT_THAT(refusal_of(fixture_plugin("exports_helper_too")),
              HasSubstr("both export fixture::helper(int) (_ZN7fixture6helperEi), so one could run "
                        "the other's code"));
}

// It promises a model that is not in its code, which is found out after all was loaded.
TEST_F(PluginLoaderTest, ALibraryBesideAPluginIsFoundAndCheckedAsThePluginIs) {
  const auto plugin = folder_.copy_of("needs_beside", "needs_beside.so");
  EXPECT_THAT(refusal_of(plugin), HasSubstr("libfixture_beside.so: cannot open shared object"));
  const auto beside =
      folder_.write("libfixture_beside.so",
                    test::read_file(test::fixture_folder("needs_beside") / "libfixture_beside.so"));
  std::filesystem::permissions(beside, std::filesystem::perms::others_write,
                               std::filesystem::perm_options::add);
  EXPECT_THAT(refusal_of(plugin),
              AllOf(HasSubstr("needs_beside.so needs "), HasSubstr("libfixture_beside.so, and "),
                    HasSubstr("is not trusted")));
  std::filesystem::permissions(beside, std::filesystem::perms::others_write,
                               std::filesystem::perm_options::remove);
  EXPECT_THAT(refusal_of(plugin), HasSubstr("registers nothing"));
}

TEST_F(PluginLoaderTest, FileThatCannotBeReadIsRefused) {
  EXPECT_THAT(refusal_of("/nowhere/x.so"), HasSubstr("No such file or directory"));
  EXPECT_THAT(refusal_of(folder_.write("text.so", "hello")), HasSubstr("not a shared library"));
  EXPECT_THAT(refusal_of(folder_.path()), HasSubstr("is a folder"));
}

using PluginLoaderDeathTest = PluginLoaderTest;

TEST_F(PluginLoaderDeathTest, ThrowingStaticConstructorEndsTheProcessWithASentence) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(loader_.load(fixture_plugin("static_throw")), ::testing::ExitedWithCode(3),
              "static_throw.so threw in a static constructor: no licence server; .*build\\(\\)");
}

}  // namespace
}  // namespace pergola::host
