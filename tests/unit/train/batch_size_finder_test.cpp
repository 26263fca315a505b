// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/batch_size_finder.h"

#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

using ::pergola::test::error_of;
using ::testing::ElementsAre;

constexpr std::int64_t kGibibyte = std::int64_t{1} << 30;

// A machine with a speed for each batch size; a size that it has none for runs out of memory.
struct Machine {
  std::map<std::int64_t, double> speeds;
  std::int64_t bytes_per_sample = 0;

  [[nodiscard]] BatchSizeSearch search(std::int64_t first, std::int64_t samples) const {
    BatchSizeSearch search;
    search.first = first;
    search.samples = samples;
    search.measure = [this](std::int64_t size) -> std::optional<BatchSizeTrial> {
      const auto speed = speeds.find(size);
      if (speed == speeds.end()) return std::nullopt;
      return BatchSizeTrial{size, speed->second, size * bytes_per_sample};
    };
    return search;
  }
};

std::vector<std::int64_t> sizes_of(const BatchSizeFindings& findings) {
  std::vector<std::int64_t> sizes;
  for (const BatchSizeTrial& trial : findings.trials) sizes.push_back(trial.batch_size);
  return sizes;
}

// 1.05 * 150 = 157.5, and 1.05 * 157.6 = 165.48.
TEST(BatchSizeFinderTest, ItDoublesAsLongAsThatIsFiveHundredthsFaster) {
  const Machine machine{{{2, 100}, {4, 150}, {8, 157.6}, {16, 165}, {32, 1000}}};
  const BatchSizeFindings findings = find_batch_size(machine.search(2, 1000));
  EXPECT_THAT(sizes_of(findings), ElementsAre(2, 4, 8, 16));
  EXPECT_EQ(findings.suggestion, 8);
  EXPECT_EQ(findings.end, "16 is not 5 % faster than 8");
}

TEST(BatchSizeFinderTest, MemoryThatRunsOutEndsIt) {
  const Machine machine{{{3, 100}, {6, 200}}};
  const BatchSizeFindings findings = find_batch_size(machine.search(3, 1000));
  EXPECT_EQ(findings.suggestion, 6);
  EXPECT_EQ(findings.end, "12 ran out of memory");
}

TEST(BatchSizeFinderTest, NoBatchIsLargerThanTheSplit) {
  const Machine machine{{{2, 1}, {4, 2}, {8, 4}, {16, 8}}};
  const BatchSizeFindings findings = find_batch_size(machine.search(2, 15));
  EXPECT_EQ(findings.suggestion, 8);
  EXPECT_EQ(findings.end, "the training split has 15 samples, fewer than 16");
}

// 4 samples take 2 GiB, so that 8 would take 4 GiB, which are not 0.9 parts of 4.25 GiB.
TEST(BatchSizeFinderTest, WhatWouldNotFitIsNotTried) {
  const Machine machine{{{2, 1}, {4, 2}, {8, 4}}, kGibibyte / 2};
  BatchSizeSearch search = machine.search(2, 1000);
  search.room = [] { return 17 * kGibibyte / 4; };
  const BatchSizeFindings findings = find_batch_size(search);
  EXPECT_THAT(sizes_of(findings), ElementsAre(2, 4));
  EXPECT_EQ(findings.suggestion, 4);
  EXPECT_EQ(findings.end, "8 would take about 4 GiB of memory, and 4.25 GiB are free");
  search.room = [] { return 5 * kGibibyte; };
  EXPECT_THAT(sizes_of(find_batch_size(search)), ElementsAre(2, 4, 8));
}

TEST(BatchSizeFinderTest, AFirstSizeThatIsTooLargeIsAConfigError) {
  const Machine machine{{}};
  EXPECT_EQ(error_of([&] { static_cast<void>(find_batch_size(machine.search(512, 48))); }),
            "training.batch_size = 512 is more than the training split has, which is 48 samples; "
            "set it to less for the search to begin with");
  EXPECT_EQ(error_of([&] { static_cast<void>(find_batch_size(machine.search(32, 48))); }),
            "training.batch_size = 32 runs out of memory already; set it to less for the search to "
            "begin with");
}

}  // namespace
}  // namespace pergola::host
