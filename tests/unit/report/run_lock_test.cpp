// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/run_lock.h"

#include "fixtures/temp_folder.h"
#include "host/support/files.h"
#include "pergola/error.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

// As two file systems showed it: on overlayfs, stat() says device 2a of the file that is locked.
const std::string kMounts =
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
    "67 43 0:41 / /mnt/a\\040b rw,relatime - overlay o rw,lowerdir=l\n";
const std::string kLocks =
    "1: FLOCK  ADVISORY  WRITE 23330 fe:00:10952911 0 EOF\n"
    "2: POSIX  ADVISORY  WRITE 23331 fe:00:12 0 EOF\n"
    "3: FLOCK  ADVISORY  WRITE 24576 00:29:13 0 EOF\n";

TEST(RunLockTest, TheDeviceOfALockIsThatOfTheMount) {
  const auto place = mount_device(kMounts, 67);
  ASSERT_TRUE(place.has_value());
  EXPECT_TRUE(names_lock(kLocks, {place->major, place->minor, 13}));  // 41 is 0x29
  EXPECT_FALSE(names_lock(kLocks, {0, 0x2a, 13}));
  EXPECT_FALSE(names_lock(kLocks, {place->major, place->minor, 1}));
  EXPECT_EQ(mount_device(kMounts, 27)->major, 254U);
  EXPECT_FALSE(mount_device(kMounts, 1).has_value());
  EXPECT_FALSE(mount_device("", 67).has_value());
}

TEST(RunLockTest, ALockOfAnotherKindIsNone) {
  EXPECT_TRUE(names_lock(kLocks, {0xfe, 0, 10952911}));
  EXPECT_FALSE(names_lock(kLocks, {0xfe, 0, 12}));
}

class OverlayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!mount_overlay()) GTEST_SKIP() << "no overlayfs here: " << describe_errno(errno);
  }
  ~OverlayTest() override {
    for (const char* name : {"all", "upper", "lower"}) {
      ::umount2((folder_ / name).c_str(), MNT_DETACH);
    }
  }
  [[nodiscard]] fs::path lock() const { return folder_ / "all/.lock"; }

 private:
  // Of two file systems: only then does stat() name another device than the kernel's lists.
  [[nodiscard]] bool mount_overlay() const {
    if (::unshare(CLONE_NEWNS) != 0) return false;
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
    for (const char* name : {"all", "lower", "upper"}) fs::create_directory(folder_ / name);
    for (const char* name : {"lower", "upper"}) {
      const fs::path at = folder_ / name;
      if (::mount("tmpfs", at.c_str(), "tmpfs", 0, "size=64k") != 0) return false;
    }
    for (const char* name : {"upper/files", "upper/work"}) fs::create_directory(folder_ / name);
    const std::string root = folder_.path().string();
    const std::string options = concat("xino=off,lowerdir=", root, "/lower,upperdir=", root,
                                       "/upper/files,workdir=", root, "/upper/work");
    return ::mount("overlay", (folder_ / "all").c_str(), "overlay", 0, options.c_str()) == 0;
  }

  fixtures::TempFolder folder_;
};

TEST_F(OverlayTest, ALockIsSeenOnOverlayfs) {
  EXPECT_FALSE(is_locked(lock()));  // not even a file
  const UniqueFd file(::open(lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  EXPECT_FALSE(is_locked(lock()));
  ASSERT_EQ(::flock(file.get(), LOCK_EX), 0);
  EXPECT_TRUE(is_locked(lock()));
}

}  // namespace
}  // namespace pergola::host
