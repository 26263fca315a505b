// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/memory.h"

#include <gtest/gtest.h>

#include <vector>

namespace pergola::host {
namespace {

TEST(MemoryTest, MemoryThatIsWrittenToCounts) {
  constexpr std::int64_t kBytes = 64 << 20;
  const std::int64_t before = process_memory();
  const std::vector<char> block(kBytes, 1);
  // Other memory may have been given back meanwhile; never that much.
  EXPECT_GT(process_memory(), before + kBytes / 2);
  EXPECT_EQ(block.back(), 1);
}

TEST(MemoryTest, TheCpuHasNoMemoryOfItsOwn) {
  EXPECT_FALSE(device_memory(c10::Device(c10::kCPU)).has_value());
}

TEST(MemoryTest, NothingIsKnownOfADeviceThatWasNotUsed) {
  EXPECT_FALSE(device_memory(c10::Device(c10::kCUDA, 0)).has_value());
}

}  // namespace
}  // namespace pergola::host
