// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/trust.h"

#include "fixtures/plugins/plugin_files.h"
#include "host/support/hash.h"
#include "pergola/error.h"
#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

class TrustTest : public ::testing::Test {
 protected:
  [[nodiscard]] static std::string distrust_of(const fs::path& path,
                                               const TrustPolicy& policy = {}) {
    return distrust(ElfFile(path), "registers_nothing", policy);
  }
  static void mode(const fs::path& path, mode_t mode) { ASSERT_EQ(::chmod(path.c_str(), mode), 0); }
  [[nodiscard]] fs::path real(const fs::path& path) const { return fs::canonical(path); }

  test::PluginFolder folder_;
  fs::path plugin_ = [this] {
    fs::create_directory(folder_ / "inner");
    return folder_.copy_of("registers_nothing", "inner/p.so");
  }();
};

// /tmp, which everybody can write, is above it, and is sticky.
TEST_F(TrustTest, WhatNobodyElseCanWriteIsTrusted) {
  mode(plugin_, 0644);
  EXPECT_EQ(distrust_of(plugin_), "");
  mode(folder_ / "inner", 01777);
  EXPECT_EQ(distrust_of(plugin_), "");
}

TEST_F(TrustTest, AFileThatAnybodyCanWriteIsNot) {
  mode(plugin_, 0666);
  EXPECT_EQ(distrust_of(plugin_),
            "plugin " + plugin_.string() +
                " is not trusted, since others than you and root could change it: anybody can "
                "write to " +
                real(plugin_).string() +
                " (mode 0666); take their right away (chmod go-w), copy it into a folder of your "
                "own, or pin its content with `pergola plugins trust` and plugins.trust = "
                "\"locked\"");
}

TEST_F(TrustTest, NorIsOneInAFolderThatAnybodyCanWrite) {
  mode(folder_.path(), 0777);  // they could put another folder in the place of `inner`
  EXPECT_THAT(distrust_of(plugin_),
              HasSubstr("anybody can write to " + real(folder_.path()).string() + " (mode 0777)"));
  EXPECT_EQ(distrust_of(plugin_, {Trust::kAny, {}, {}}), "");
}

// Who may write is asked of the file that was opened, not of the link to it.
TEST_F(TrustTest, ALinkIsAsGoodAsWhatItLeadsTo) {
  mode(plugin_, 0666);
  const test::PluginFolder other;
  fs::create_symlink(plugin_, other / "link.so");
  EXPECT_THAT(distrust_of(other / "link.so"),
              HasSubstr("anybody can write to " + real(plugin_).string()));
}

TEST_F(TrustTest, AFileOfAnotherUserOrGroupIsNot) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  constexpr uid_t kOther = 54321;  // nobody has it
  mode(plugin_, 0664);
  EXPECT_EQ(distrust_of(plugin_), "") << "the group is root's own";
  ASSERT_EQ(::chown(plugin_.c_str(), 0, kOther), 0);
  EXPECT_THAT(distrust_of(plugin_), HasSubstr("group 54321 can write to "));
  mode(plugin_, 0644);
  EXPECT_EQ(distrust_of(plugin_), "");
  ASSERT_EQ(::chown(plugin_.c_str(), kOther, 0), 0);
  EXPECT_THAT(distrust_of(plugin_), HasSubstr(real(plugin_).string() + " belongs to user 54321"));
  ASSERT_EQ(::chown(plugin_.c_str(), 0, 0), 0);
  ASSERT_EQ(::chown((folder_ / "inner").c_str(), kOther, 0), 0);
  EXPECT_THAT(distrust_of(plugin_), HasSubstr("inner belongs to user 54321"));
}

TEST_F(TrustTest, AFileThatIsGoneCannotBeTrusted) {
  const ElfFile file(plugin_);
  fs::remove(plugin_);
  EXPECT_THAT(distrust(file, "registers_nothing", {}), HasSubstr("cannot be found any more"));
}

TEST_F(TrustTest, TheLockFileSaysWhichContentOfWhichPlugin) {
  mode(plugin_, 0666);  // which does not matter then
  TrustPolicy policy{Trust::kLocked, {}, "my.lock"};
  EXPECT_EQ(distrust_of(plugin_, policy),
            "plugin " + plugin_.string() +
                " is not the one in the lock file my.lock: no plugin 'registers_nothing' is in it; "
                "look where it comes from, and then accept it with `pergola plugins trust " +
                plugin_.string() + " --lock-file my.lock`");
  policy.lock.set({"registers_nothing", "0.0.9", std::string(64, 'a')});
  const std::string sha256 = sha256_file(plugin_, ErrorKind::kPlugin);
  EXPECT_THAT(distrust_of(plugin_, policy),
              HasSubstr("it has 'registers_nothing' 0.0.9 with SHA-256 " + std::string(64, 'a') +
                        ", and this file has " + sha256));
  policy.lock.set({"registers_nothing", "0.1.0", sha256});
  EXPECT_EQ(distrust_of(plugin_, policy), "");
}

TEST_F(TrustTest, ALockFileThatIsMissingIsToldHowToWriteOne) {
  EXPECT_THAT(
      error_of([] { static_cast<void>(locked_policy("nowhere.lock")); }, ErrorKind::kPlugin),
      HasSubstr("there is no lock file nowhere.lock; write it with `pergola plugins trust "
                "--lock-file nowhere.lock`"));
}

TEST_F(TrustTest, ALockFileThatOthersCanWritePinsNothing) {
  const fs::path file = folder_.write("my.lock", PluginLock().text());
  EXPECT_TRUE(locked_policy(file).lock.plugins().empty());
  mode(file, 0666);
  EXPECT_THAT(
      error_of([&] { static_cast<void>(locked_policy(file)); }, ErrorKind::kPlugin),
      AllOf(HasSubstr("my.lock is not trusted, since others"), HasSubstr("my.lock (mode 0666)")));
}

// The name that is loaded is the file that was checked, whatever is at its path by then.
TEST_F(TrustTest, WhatIsLoadedIsWhatWasChecked) {
  const std::string checked = test::read_file(plugin_);
  const ElfFile file(plugin_);
  fs::rename(folder_.copy_of("no_models", "new.so"), plugin_);
  EXPECT_EQ(test::read_file(file.load_path()), checked);
  EXPECT_TRUE(identify(file.load_path())->same_file(file.identity()));
}

TEST_F(TrustTest, ASealedCopyCannotBeChangedByAnybody) {
  const std::string checked = test::read_file(plugin_);
  const ElfFile file(plugin_, ElfFile::Content::kSealedCopy);
  test::write_file(plugin_, "changed in its place");
  EXPECT_EQ(test::read_file(file.load_path()), checked);
  EXPECT_EQ(file.sha256(), sha256(checked));
  EXPECT_EQ(file.identity().size, static_cast<std::int64_t>(checked.size()));
  EXPECT_ANY_THROW(test::write_file(file.load_path(), "x"));
}

}  // namespace
}  // namespace pergola::host
