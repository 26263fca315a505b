// SPDX-License-Identifier: BSD-3-Clause
// A disk of 256 KiB that is really full. Needs the right to mount one; skipped where that is not.
#include "host/checkpoint/store.h"
#include "host/support/files.h"
#include "unit/checkpoint/checkpoint_test_kit.h"

#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace pergola::host::fault_test {
namespace {

namespace fs = std::filesystem;
using checkpoint_test::content_at;
using checkpoint_test::error_of;
using checkpoint_test::names_in;
using checkpoint_test::same_content;
using checkpoint_test::TempFolder;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// A file system in memory, mounted where only this process sees it.
class TinyDisk {
 public:
  explicit TinyDisk(const std::string& options) {
    if (!becomes_alone() || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, options.c_str()) != 0) {
      problem_ = concat("no file system can be mounted here: ", std::strerror(errno));
    }
  }
  TinyDisk(const TinyDisk&) = delete;
  TinyDisk& operator=(const TinyDisk&) = delete;
  ~TinyDisk() {
    if (problem_.empty()) ::umount2(folder_.path().c_str(), MNT_DETACH);
  }

  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] const fs::path& path() const { return folder_.path(); }

  // Takes the space but for about `rest` bytes.
  void fill(std::uintmax_t rest) const {
    constexpr std::uintmax_t kPage = 4096;
    const UniqueFd file = create_file(filler());
    while (free_space(path()) >= rest + kPage) write_all(file.get(), std::string(kPage, 'x'), "f");
  }
  void empty() const { fs::remove(filler()); }

 private:
  [[nodiscard]] fs::path filler() const { return path() / "filler"; }

  // Root may do it; others where the system lets them be root of a world of their own.
  static bool becomes_alone() {
    if (::unshare(CLONE_NEWNS) == 0) return true;
    const uid_t me = ::geteuid();
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    checkpoint_test::write_bytes("/proc/self/uid_map", concat("0 ", me, " 1"));
    return true;
  }

  TempFolder folder_;
  std::string problem_;
};

class FullDiskTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!disk_.problem().empty()) GTEST_SKIP() << disk_.problem();
  }
  // 2 rows of 8,000 floats: 64,000 bytes of weights, and the save asks for 65,536 to spare.
  static constexpr std::int64_t kWidth = 8'000;

  TinyDisk disk_{"size=256k"};
  CheckpointStore store_{disk_.path()};
};

TEST_F(FullDiskTest, ASaveWithoutRoomLeavesTheOldCheckpointAndTheNextWithRoomWorks) {
  store_.save_last(content_at(1, kWidth));
  disk_.fill(/*rest=*/100'000);
  EXPECT_THAT(error_of([&] { store_.save_last(content_at(2, kWidth)); }),
              AllOf(HasSubstr("cannot save the checkpoint " + store_.last().string()),
                    HasSubstr("bytes and "), HasSubstr("are free; free some space there")));
  EXPECT_THAT(names_in(disk_.path() / "checkpoints"), ElementsAre("last"));
  EXPECT_TRUE(same_content(store_.find_resume()->content, content_at(1, kWidth)));
  disk_.empty();
  store_.save_last(content_at(2, kWidth));
  EXPECT_TRUE(same_content(store_.find_resume()->content, content_at(2, kWidth)));
}

TEST_F(FullDiskTest, ADiskThatFillsUpInTheMiddleOfASaveLeavesTheOldCheckpointToo) {
  store_.save_last(content_at(1, kWidth));
  for (const std::uintmax_t rest : {0, 4096, 20'000, 60'000}) {
    SaveHooks hooks;
    hooks.on_step = [&](std::string_view step) {
      if (step == "folder made") disk_.fill(rest);
    };
    const CheckpointStore store(disk_.path(), /*max_to_keep=*/-1, hooks);
    EXPECT_THAT(error_of([&] { store.save_last(content_at(2, kWidth)); }),
                AllOf(HasSubstr("cannot write "), HasSubstr("No space left on device; free some")))
        << rest;
    EXPECT_THAT(names_in(disk_.path() / "checkpoints"), ElementsAre("last")) << rest;
    EXPECT_TRUE(same_content(store_.find_resume()->content, content_at(1, kWidth))) << rest;
    disk_.empty();
  }
  store_.save_last(content_at(2, kWidth));
  EXPECT_TRUE(same_content(store_.find_resume()->content, content_at(2, kWidth)));
}

}  // namespace
}  // namespace pergola::host::fault_test
