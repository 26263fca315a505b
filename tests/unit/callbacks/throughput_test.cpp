// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/throughput.h"

#include "host/callbacks/peak_flops.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace pergola::host {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Key;
using testing::Not;

void wait(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

SystemFacts facts() {
  SystemFacts facts;
  facts.seconds = 4;
  facts.samples_per_second = 300.4;
  facts.average_samples_per_second = 280;
  facts.updates_per_second = 2.314;
  facts.seconds_left = 72;
  facts.process_bytes = 812 << 20;
  return facts;
}

TEST(SystemFactsTest, TextHasSpeedMemoryTimeLeftAndTheSplitOfTimeWithoutWhatIsNothing) {
  SystemFacts all = facts();
  all.phases[Phase::kData] = 0.16;       // of 4 s: 4 %
  all.phases[Phase::kForward] = 3.83;    // 95.75 %
  all.phases[Phase::kOptimizer] = 0.01;  // 0.25 %
  EXPECT_EQ(all.text(),
            "300 samples/s (average 280), 2.31 updates/s, 812 MiB, 0:01:12 left (data 4%, forward "
            "96%)");
}

TEST(SystemFactsTest, TextHasTheDevicesMemoryAndItsUse) {
  SystemFacts all = facts();
  all.device = DeviceMemory{std::int64_t{12} << 30, std::int64_t{16} << 30};
  all.flops_per_second = 49.47e12;
  all.utilization = 0.05;
  EXPECT_THAT(all.text(), HasSubstr(", 49.5 TFLOP/s (MFU 5.0%), GPU 12.0 GiB (peak 16.0 GiB), "
                                    "host 812 MiB, "));
  all.recompute = true;  // some of it was done over again
  EXPECT_THAT(all.text(), HasSubstr("(HFU 5.0%)"));
}

TEST(SystemFactsTest, NumbersHaveUnitsInTheirNames) {
  SystemFacts all = facts();
  all.phases[Phase::kBackward] = 2.5;
  all.device = DeviceMemory{1 << 20, 3 << 20, 4 << 20, 5 << 20, 2};
  all.flops_per_second = 2e12;
  all.utilization = 0.25;
  const Numbers numbers = all.numbers();
  EXPECT_EQ(numbers.at("samples_per_second"), 300.4);
  EXPECT_EQ(numbers.at("samples_per_second/avg"), 280);
  EXPECT_EQ(numbers.at("seconds"), 4);
  EXPECT_EQ(numbers.at("seconds/backward"), 2.5);
  EXPECT_EQ(numbers.at("seconds_left"), 72);
  EXPECT_EQ(numbers.at("memory/rss_mib"), 812);
  EXPECT_EQ(numbers.at("memory/device_mib"), 1);
  EXPECT_EQ(numbers.at("memory/device_peak_mib"), 3);
  EXPECT_EQ(numbers.at("memory/device_reserved_mib"), 4);
  EXPECT_EQ(numbers.at("memory/device_retries"), 2);
  EXPECT_EQ(numbers.at("tflops_per_second"), 2);
  EXPECT_EQ(numbers.at("mfu"), 0.25);
}

TEST(SystemFactsTest, WhatIsNotKnownIsNotThere) {
  SystemFacts few;
  EXPECT_THAT(few.text(), HasSubstr(", ? left"));
  for (const char* key : {"seconds_left", "memory/device_mib", "mfu", "hfu"}) {
    EXPECT_THAT(few.numbers(), Not(Contains(Key(key))));
  }
}

TEST(ThroughputTest, RatesLeaveOutValidationAndCheckpoints) {
  PhaseTimes times;
  Throughput throughput(times, c10::kCPU);
  throughput.start(100);
  const auto begin = std::chrono::steady_clock::now();
  {
    const auto timed = times.measure(Phase::kForward);
    wait(5);
  }
  {
    const auto timed = times.measure(Phase::kValidation);
    wait(30);
  }
  {
    const auto timed = times.measure(Phase::kCheckpoint);
    wait(30);
  }
  const SystemFacts facts = throughput.take(102, 110, 20);
  const std::chrono::duration<double> all = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(facts.seconds, 0.065);
  // 20 samples in 5 ms or more, and in no more than what was left beside the 60 ms.
  EXPECT_LE(facts.samples_per_second, 20 / 0.005);
  EXPECT_GE(facts.samples_per_second, 20 / (all.count() - 0.060));
  EXPECT_DOUBLE_EQ(facts.updates_per_second, facts.samples_per_second / 10);
  EXPECT_DOUBLE_EQ(facts.average_samples_per_second, facts.samples_per_second);
  EXPECT_GE(facts.seconds_left, 4 * 0.065) << "2 of 10 updates took all that time";
}

TEST(ThroughputTest, AnIntervalBeginsWhereTheLastOneEnded) {
  PhaseTimes times;
  Throughput throughput(times, c10::kCPU);
  throughput.start(0);
  wait(20);
  static_cast<void>(throughput.take(10, 20, 1000));
  wait(2);
  const SystemFacts second = throughput.take(11, 20, 1004);
  EXPECT_LE(second.samples_per_second, 4 / 0.002) << "four samples and not 1004";
  EXPECT_LE(second.updates_per_second, 1 / 0.002);
  EXPECT_GT(second.average_samples_per_second, second.samples_per_second);
}

TEST(ThroughputTest, CountsOneUpdateAndTakesTheOthersToBeAlike) {
  PhaseTimes times;
  Throughput throughput(times, c10::kCPU, {.count = true, .peak = 1e9});
  throughput.start(0);
  const at::Tensor a = at::ones({4, 8});
  const auto update = [&](std::int64_t samples_before) {
    throughput.begin_update(samples_before);
    at::mm(a, at::ones({8, 16}));  // 2 * 4 * 8 * 16 = 1024
    throughput.end_passes(samples_before + 4);
    throughput.end_passes(samples_before + 4);
  };
  update(0);
  update(4);
  wait(1);
  const SystemFacts facts = throughput.take(2, 2, 8);
  // 1024 operations for four samples are 256 for one.
  ASSERT_TRUE(facts.flops_per_second);
  EXPECT_DOUBLE_EQ(*facts.flops_per_second, 256 * facts.samples_per_second);
  EXPECT_DOUBLE_EQ(*facts.utilization, *facts.flops_per_second / 1e9);
}

TEST(ThroughputTest, NothingIsCountedUnlessItIsAskedFor) {
  PhaseTimes times;
  Throughput throughput(times, c10::kCPU);
  throughput.start(0);
  throughput.begin_update(0);
  at::mm(at::ones({4, 8}), at::ones({8, 16}));
  throughput.end_passes(4);
  EXPECT_FALSE(throughput.take(1, 1, 4).flops_per_second);
}

TEST(FormatBytesTest, TakesAUnitThatReadsWell) {
  EXPECT_EQ(format_bytes(0), "0 MiB");
  EXPECT_EQ(format_bytes(812 << 20), "812 MiB");
  EXPECT_EQ(format_bytes(std::int64_t{10} << 30), "10.0 GiB");
}

// In 1e12 operations a second; 0 where it is not known.
double peak(const std::string& device, Precision precision) {
  return peak_flops(device, precision).value_or(0) / 1e12;
}

TEST(PeakFlopsTest, DevicesAreKnownByTheirNamesAndPrecisions) {
  const std::string h100 = "cuda:0 (NVIDIA H100 80GB HBM3, 79.2 GiB, compute capability 9.0)";
  EXPECT_DOUBLE_EQ(peak(h100, Precision::kBf16), 989.4);
  EXPECT_DOUBLE_EQ(peak(h100, Precision::kFp16), 989.4);
  EXPECT_DOUBLE_EQ(peak(h100, Precision::kTf32), 494.7);
  EXPECT_DOUBLE_EQ(peak(h100, Precision::kFp32), 66.9);
  EXPECT_DOUBLE_EQ(peak("cuda:1 (NVIDIA H100 PCIe, 79.1 GiB)", Precision::kBf16), 756.5);
  EXPECT_DOUBLE_EQ(peak("cuda:0 (NVIDIA H200, 139.8 GiB)", Precision::kBf16), 989.4);
  EXPECT_DOUBLE_EQ(peak("cuda:0 (NVIDIA A100-SXM4-80GB, 79.3 GiB)", Precision::kTf32), 156);
}

TEST(PeakFlopsTest, NothingIsSaidOfOthersAndOfParts) {
  EXPECT_FALSE(peak_flops("cpu (2 threads)", Precision::kFp32));
  EXPECT_FALSE(peak_flops("cuda:0 (NVIDIA A10G, 22.1 GiB)", Precision::kBf16));
  EXPECT_FALSE(peak_flops("cuda:0 (NVIDIA H200 NVL, 139.8 GiB)", Precision::kBf16));
  EXPECT_FALSE(peak_flops("cuda:0 (NVIDIA H100 80GB HBM3 MIG 1g.10gb)", Precision::kBf16));
}

}  // namespace
}  // namespace pergola::host
