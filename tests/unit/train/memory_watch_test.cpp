// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/memory_watch.h"

#include "fixtures/temp_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMebibyte = 1 << 20;

// A machine of which the kernel says what a test wants.
class AvailableMemoryTest : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((root_.path() / name).parent_path());
    std::ofstream(root_.path() / name) << text;
  }
  fixtures::TempFolder root_;
};

TEST_F(AvailableMemoryTest, NothingIsKnownWhereTheSystemDoesNotSay) {
  EXPECT_FALSE(available_memory(root_.path()).has_value());
}

TEST_F(AvailableMemoryTest, ItIsWhatTheSystemHasAvailable) {
  write("proc/meminfo", "MemTotal:       99999 kB\nMemFree:  1 kB\nMemAvailable:   1000 kB\n");
  EXPECT_EQ(available_memory(root_.path()), 1'024'000);
}

TEST_F(AvailableMemoryTest, TheTightestControlGroupLimitsIt) {
  write("proc/meminfo", "MemAvailable:   1000 kB\n");
  write("proc/self/cgroup", "0::/slurm/job\n");
  write("sys/fs/cgroup/memory.max", "max\n");
  write("sys/fs/cgroup/memory.current", "5\n");
  write("sys/fs/cgroup/slurm/memory.max", "50000\n");
  write("sys/fs/cgroup/slurm/memory.current", "20000\n");
  write("sys/fs/cgroup/slurm/memory.stat", "anon 1\ninactive_file 3000\n");
  write("sys/fs/cgroup/slurm/job/memory.max", "90000\n");
  write("sys/fs/cgroup/slurm/job/memory.current", "10000\n");
  EXPECT_EQ(available_memory(root_.path()), 50'000 - 20'000 + 3'000);
  // Of a container, whose group is the root of what it sees.
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/memory.max", "105\n");
  EXPECT_EQ(available_memory(root_.path()), 100);
}

TEST(MemoryWatchTest, PeakIsWhatCameAboveTheBegin) {
  const MemoryWatch watch;
  {
    const std::vector<char> block(64 * kMebibyte, 1);
    EXPECT_EQ(block.back(), 1);
  }
  EXPECT_GE(watch.peak(), 60 * kMebibyte);
  EXPECT_GT(watch.room().value_or(1), 0);
}

}  // namespace
}  // namespace pergola::host
