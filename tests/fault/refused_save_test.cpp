// SPDX-License-Identifier: BSD-3-Clause
// Saves that the system refuses. What was there before is whole afterwards, and nothing is left
// beside it.
#include "host/checkpoint/safetensors.h"
#include "host/checkpoint/store.h"
#include "host/support/files.h"
#include "unit/checkpoint/checkpoint_test_kit.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

namespace pergola::host::checkpoint_test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// Limits the size of files for a while, which makes writes fail in the middle as a full disk does.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit old_{};
  void (*handler_)(int);
};

class RefusedSaveTest : public testing::Test {
 protected:
  TempFolder run_;
  CheckpointStore store_{run_.path()};
};

TEST_F(RefusedSaveTest, AWriteThatFailsAnywhereLeavesTheOldCheckpointAndNothingElse) {
  constexpr std::int64_t kWidth = 20'000;  // 2 rows of floats: 160,000 bytes of weights
  store_.save_last(content_at(1));
  for (const rlim_t limit : {0, 1, 100, 4096, 100'000, 160'000}) {
    std::string message;
    {
      const FileSizeLimit full(limit);
      message = error_of([&] { store_.save_last(content_at(2, kWidth)); });
    }
    EXPECT_THAT(message, AllOf(HasSubstr("cannot write"), HasSubstr("File too large"))) << limit;
    EXPECT_TRUE(same_content(store_.find_resume()->content, content_at(1))) << limit;
    EXPECT_THAT(names_in(run_ / "checkpoints"), ElementsAre("last")) << limit;
  }
  store_.save_last(content_at(2, kWidth));
  EXPECT_TRUE(same_content(store_.find_resume()->content, content_at(2, kWidth)));
}

TEST_F(RefusedSaveTest, AFullDiskIsNamedWithTheNextStep) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full);
  EXPECT_EQ(error_of([&] { stream_safetensors(full.get(), content_at(1).model, {}, "run/model"); }),
            "cannot write run/model: No space left on device; free some space there, or choose "
            "another folder");
}

TEST_F(RefusedSaveTest, TooLittleSpaceIsToldBeforeAnythingIsWritten) {
  store_.save_last(content_at(1));
  CheckpointContent huge = content_at(2);
  // One float in memory, 2^52 bytes on the disk: more than any file system that tests run on.
  huge.model.emplace_back("huge", at::zeros({1}).expand({std::int64_t{1} << 50}));
  EXPECT_THAT(error_of([&] { store_.save_last(huge); }),
              AllOf(HasSubstr("cannot save the checkpoint " + store_.last().string() +
                              ": it needs 45035996"),  // 2^52 = 4,503,599,627,370,496 and a little
                    HasSubstr("are free; free some space there")));
  EXPECT_THAT(names_in(run_ / "checkpoints"), ElementsAre("last"));
  EXPECT_TRUE(same_content(store_.find_resume()->content, content_at(1)));
}

TEST_F(RefusedSaveTest, AFolderThatCannotComeToItsPlaceLetsTheOldOneBack) {
  // Without exchange, and the new folder is gone when it is to be put in place of the old one.
  store_.save_last(content_at(1));
  SaveHooks hooks{{}, /*allow_exchange=*/false};
  hooks.on_step = [this](std::string_view step) {
    if (step != "old folder moved aside") return;
    fs::remove_all(run_ / concat("checkpoints/.tmp-last-", ::getpid()));
  };
  const CheckpointStore store(run_.path(), /*max_to_keep=*/2, hooks);
  EXPECT_THAT(error_of([&] { store.save_last(content_at(2)); }),
              HasSubstr("cannot put the checkpoint at " + store_.last().string()));
  EXPECT_THAT(names_in(run_ / "checkpoints"), ElementsAre("last"));
  EXPECT_TRUE(same_content(load_checkpoint(store_.last()), content_at(1)));
}

TEST_F(RefusedSaveTest, ARunFolderBelowAFileIsAnError) {
  write_bytes(run_ / "file", "text");
  const CheckpointStore store(run_ / "file");
  EXPECT_THAT(error_of([&] { store.save_last(content_at(1)); }), HasSubstr("Not a directory"));
}

// Takes the right to write to `folder` away for a while; root gives up being root for that.
class NoWritePermission {
 public:
  explicit NoWritePermission(fs::path folder) : folder_(std::move(folder)) {
    constexpr uid_t kNobody = 65534;
    fs::permissions(folder_, fs::perms(0555));
    active_ = ::geteuid() != 0 || ::seteuid(kNobody) == 0;
  }
  NoWritePermission(const NoWritePermission&) = delete;
  NoWritePermission& operator=(const NoWritePermission&) = delete;
  ~NoWritePermission() {
    if (::geteuid() != ::getuid() && ::seteuid(::getuid()) != 0) std::abort();
    fs::permissions(folder_, fs::perms(0755));
  }
  [[nodiscard]] bool active() const { return active_; }

 private:
  fs::path folder_;
  bool active_ = false;
};

// What could not be removed would be in the way of the save after the next.
TEST_F(RefusedSaveTest, ACheckpointThatCannotBeRemovedIsNotReplaced) {
  fs::permissions(run_.path(), fs::perms(0755));
  store_.save_last(content_at(1));
  fs::permissions(run_ / "checkpoints", fs::perms(0777));
  {
    const NoWritePermission guard(store_.last());
    if (!guard.active()) GTEST_SKIP() << "this root cannot become another user";
    const auto refused = HasSubstr("cannot replace the checkpoint " + store_.last().string() +
                                   ": Permission denied; check its permissions");
    EXPECT_THAT(error_of([&] { store_.check_writable(); }), refused);
    EXPECT_THAT(error_of([&] { store_.save_last(content_at(2)); }), refused);
  }
  EXPECT_TRUE(same_content(store_.find_resume()->content, content_at(1)));
  EXPECT_THAT(names_in(run_ / "checkpoints"), ElementsAre("last"));
}

TEST_F(RefusedSaveTest, AFolderWithoutWritePermissionIsAnErrorThatChangesNothing) {
  fs::permissions(run_.path(), fs::perms(0755));  // so that another user may look into it
  store_.save_last(content_at(1));
  fs::permissions(store_.last(), fs::perms(0777));  // what is closed is the folder above
  {
    const NoWritePermission guard(run_ / "checkpoints");
    if (!guard.active()) GTEST_SKIP() << "this root cannot become another user";
    EXPECT_THAT(error_of([&] { store_.save_last(content_at(2)); }),
                AllOf(HasSubstr("checkpoints/.tmp-last"), HasSubstr("Permission denied"),
                      HasSubstr("check its permissions")));
  }
  EXPECT_TRUE(same_content(store_.find_resume()->content, content_at(1)));
  EXPECT_THAT(names_in(run_ / "checkpoints"), ElementsAre("last"));
}

}  // namespace
}  // namespace pergola::host::checkpoint_test
