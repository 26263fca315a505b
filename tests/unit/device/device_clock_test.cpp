// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/device_clock.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace pergola::host {
namespace {

TEST(DeviceClock, GivesTheSecondsBetweenEachMarkAndTheNext) {
  DeviceClock clock{c10::Device(c10::kCPU)};
  clock.mark();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  clock.mark();
  clock.mark();
  const std::vector<double> seconds = clock.seconds();
  ASSERT_EQ(seconds.size(), 2U);
  EXPECT_GE(seconds[0], 0.02);
  EXPECT_GE(seconds[1], 0);
}

TEST(DeviceClock, OfNoMarkAndOfOneHasNothing) {
  DeviceClock clock{c10::Device(c10::kCPU)};
  EXPECT_TRUE(clock.seconds().empty());
  clock.mark();
  EXPECT_TRUE(clock.seconds().empty());
}

}  // namespace
}  // namespace pergola::host
