// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/prefetcher.h"

#include "host/data/sampler.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <latch>
#include <numeric>
#include <stdexcept>

namespace pergola::host {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using Index = std::int64_t;

std::vector<Index> drain(Prefetcher<Index>& prefetcher) {
  std::vector<Index> items;
  while (const auto item = prefetcher.next()) items.push_back(*item);
  return items;
}

TEST(PrefetcherTest, HandsItemsOutInOrderWhicheverIsMadeFirst) {
  // The later of each pair is done first.
  const auto make = [](Index index, const std::stop_token&) {
    if (index % 2 == 0) std::this_thread::sleep_for(2ms);
    return index * 10;
  };
  Prefetcher<Index> prefetcher(make, 3, 8, /*workers=*/3, /*ahead=*/4);
  EXPECT_THAT(drain(prefetcher), ElementsAre(30, 40, 50, 60, 70));
  EXPECT_FALSE(prefetcher.next().has_value());
}

TEST(PrefetcherTest, MakesEachItemOnceUnderContention) {
  constexpr Index kCount = 20'000;
  std::atomic<Index> made{0};
  const auto make = [&](Index index, const std::stop_token&) {
    ++made;
    return index;
  };
  Prefetcher<Index> prefetcher(make, 0, kCount, /*workers=*/4, /*ahead=*/3);
  std::vector<Index> expected(kCount);
  std::iota(expected.begin(), expected.end(), Index{0});
  EXPECT_EQ(drain(prefetcher), expected);
  EXPECT_EQ(made, kCount);
}

TEST(PrefetcherTest, MakesNoMoreThanItMayAhead) {
  std::atomic<Index> highest{-1};
  std::latch four(4);
  const auto make = [&](Index index, const std::stop_token&) {
    highest = std::max(highest.load(), index);
    if (index < 4) four.count_down();
    return index;
  };
  Prefetcher<Index> prefetcher(make, 0, 100, /*workers=*/1, /*ahead=*/4);
  four.wait();
  std::this_thread::sleep_for(20ms);  // time in which a fifth would be made
  EXPECT_EQ(highest, 3);
}

TEST(PrefetcherTest, ThrowsAnErrorInTheTurnOfItsItemAndGoesOn) {
  const auto make = [](Index index, const std::stop_token&) {
    if (index == 1) throw std::runtime_error("item 1");
    return index;
  };
  Prefetcher<Index> prefetcher(make, 0, 3, /*workers=*/2, /*ahead=*/3);
  EXPECT_EQ(prefetcher.next(), 0);
  EXPECT_THROW((void)prefetcher.next(), std::runtime_error);
  EXPECT_EQ(prefetcher.next(), 2);
  EXPECT_FALSE(prefetcher.next().has_value());
}

TEST(PrefetcherTest, EndsWhileWorkersWaitForRoom) {
  const auto make = [](Index index, const std::stop_token&) { return index; };
  Prefetcher<Index> prefetcher(make, 0, 100, /*workers=*/3, /*ahead=*/2);
  EXPECT_EQ(prefetcher.next(), 0);
}  // a worker that was not woken would hang the test here

TEST(PrefetcherTest, AsksItemsThatAreBeingMadeToStop) {
  std::latch started(1);
  const auto make = [&](Index index, const std::stop_token& stop) {
    started.count_down();
    while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
    return index;
  };
  {
    Prefetcher<Index> prefetcher(make, 0, 1, /*workers=*/1, /*ahead=*/1);
    started.wait();
  }  // an item that was not asked would hang the test here
  SUCCEED();
}

TEST(PrefetcherTest, SaysWhetherTheNextItemIsMade) {
  std::latch may_go(1);
  const auto make = [&](Index index, const std::stop_token&) {
    if (index == 1) may_go.wait();
    return index;
  };
  Prefetcher<Index> prefetcher(make, 0, 2, /*workers=*/1, /*ahead=*/2);
  while (!prefetcher.is_ready()) std::this_thread::yield();
  EXPECT_EQ(prefetcher.next(), 0);
  EXPECT_FALSE(prefetcher.is_ready());
  may_go.count_down();
  while (!prefetcher.is_ready()) std::this_thread::yield();
  EXPECT_EQ(prefetcher.next(), 1);
  EXPECT_FALSE(prefetcher.is_ready());  // there is no more
}

TEST(SampleOrderTest, IsAscendingWithoutShuffling) {
  EXPECT_THAT(sample_order(4, Shuffle::kNo, 7, 3), ElementsAre(0, 1, 2, 3));
}

TEST(SampleOrderTest, IsAPermutationThatFollowsFromSeedAndEpoch) {
  const auto order = sample_order(100, Shuffle::kYes, 7, 3);
  EXPECT_EQ(sample_order(100, Shuffle::kYes, 7, 3), order);
  EXPECT_NE(sample_order(100, Shuffle::kYes, 7, 4), order);
  EXPECT_NE(sample_order(100, Shuffle::kYes, 8, 3), order);
  EXPECT_THAT(order, testing::UnorderedElementsAreArray(sample_order(100, Shuffle::kNo, 0, 0)));
}

TEST(CountBatchesTest, CountsTheSmallerLastBatchUnlessItIsDropped) {
  EXPECT_EQ(count_batches(10, 4, LastBatch::kKeep), 3);
  EXPECT_EQ(count_batches(10, 4, LastBatch::kDrop), 2);
  EXPECT_EQ(count_batches(8, 4, LastBatch::kKeep), 2);
  EXPECT_EQ(count_batches(3, 4, LastBatch::kDrop), 0);
  EXPECT_EQ(count_batches(0, 4, LastBatch::kKeep), 0);
}

}  // namespace
}  // namespace pergola::host
