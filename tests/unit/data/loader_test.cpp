// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/loader.h"

#include "unit/data/counting_dataset.h"
#include "unit/data/fixture.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <gmock/gmock.h>

#include <atomic>
#include <set>
#include <thread>

namespace pergola::host {
namespace {

using test::CountingDataset;
using test::drain;
using test::error_of;
using testing::ElementsAre;

// All values of a field, batch after batch.
at::Tensor all_of(const std::vector<SampleList>& batches, const char* field) {
  std::vector<at::Tensor> parts;
  for (const SampleList& batch : batches) parts.push_back(batch.tensor(field));
  return at::cat(parts);
}

class LoaderTest : public testing::TestWithParam<std::int64_t> {};
INSTANTIATE_TEST_SUITE_P(Workers, LoaderTest, testing::Values(0, 1, 4));

TEST_P(LoaderTest, GivesTheBatchesThatFollowFromSeedAndEpoch) {
  const CountingDataset dataset(50);
  DataLoader loader(dataset, test::counting_options(8, GetParam()));
  loader.start_epoch(3);
  const auto batches = drain(loader);
  ASSERT_EQ(batches.size(), 7U);  // 6 of 8, and one of 2
  EXPECT_EQ(batches.back().batch_size(), 2);
  const auto order = permutation(50, 11, 3);
  const at::Tensor indices = all_of(batches, "index");
  const at::Tensor noise = all_of(batches, "noise");
  for (std::int64_t i = 0; i < 50; ++i) {
    const auto index = order[static_cast<std::size_t>(i)];
    EXPECT_EQ(indices[i].item<std::int64_t>(), index);
    EXPECT_EQ(noise[i].item<double>(), Rng(11, 3, static_cast<std::uint64_t>(index)).uniform());
  }
}

TEST_P(LoaderTest, StartsInTheMiddleOfAnEpochAsIfItHadComeThere) {
  const CountingDataset dataset(50);
  DataLoader loader(dataset, test::counting_options(8, GetParam()));
  loader.start_epoch(3);
  const at::Tensor whole = all_of(drain(loader), "index");
  loader.start_epoch(3, /*first_batch=*/5);
  EXPECT_TRUE(at::equal(all_of(drain(loader), "index"), whole.slice(0, 5 * 8)));
  loader.start_epoch(3, loader.num_batches());
  EXPECT_FALSE(loader.next().has_value());
}

TEST_P(LoaderTest, LeavesAnEpochThatIsNotOverForTheNext) {
  const CountingDataset dataset(1'000);
  DataLoader loader(dataset, test::counting_options(4, GetParam(), Shuffle::kNo));
  loader.start_epoch(0);
  ASSERT_TRUE(loader.next().has_value());
  loader.start_epoch(1, /*first_batch=*/249);
  const auto batches = drain(loader);
  ASSERT_EQ(batches.size(), 1U);
  EXPECT_TRUE(at::equal(batches[0].tensor("index"), at::arange(996, 1'000, at::kLong)));
}

TEST_P(LoaderTest, HasNoBatchBeforeTheFirstEpochAndAfterTheLastSample) {
  const CountingDataset dataset(2);
  DataLoader loader(dataset, test::counting_options(2, GetParam()));
  EXPECT_FALSE(loader.next().has_value());
  loader.start_epoch(0);
  EXPECT_TRUE(loader.next().has_value());
  EXPECT_FALSE(loader.next().has_value());
  EXPECT_FALSE(loader.next().has_value());
}

TEST_P(LoaderTest, NamesDataSetAndSplitOnEachBatch) {
  const CountingDataset dataset(2);
  DataLoader loader(dataset, test::counting_options(2, GetParam()));
  loader.start_epoch(0);
  const auto batch = loader.next();
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->dataset_name(), "counting");
  EXPECT_EQ(batch->dataset_type(), "train");
}

TEST_P(LoaderTest, ThrowsTheErrorOfASampleInTheTurnOfItsBatch) {
  const CountingDataset dataset(12, /*bad=*/5);
  DataLoader loader(dataset, test::counting_options(4, GetParam(), Shuffle::kNo));
  loader.start_epoch(0);
  EXPECT_TRUE(loader.next().has_value());
  EXPECT_EQ(error_of(ErrorKind::kData, [&] { (void)loader.next(); }), "sample 5 is bad");
  const auto third = loader.next();
  ASSERT_TRUE(third.has_value());
  EXPECT_EQ(third->tensor("index")[0].item<int>(), 8);
  EXPECT_FALSE(loader.next().has_value());
}

std::string last_hook(const BatchSource& source) {
  std::string last;
  spell_hook(source.last_hook(), [&last](std::string_view text) { last += text; });
  return last;
}

// On the thread that made it, where the hook is noted for a crash.
TEST_P(LoaderTest, EachBatchIsPreparedByWhoeverMadeIt) {
  const CountingDataset dataset(12);
  LoaderOptions wanted = test::counting_options(4, GetParam(), Shuffle::kNo);
  wanted.transfer.prepare_hook = {"prepare()", "model", "m"};
  wanted.transfer.prepare = [](SampleList& batch) {
    EXPECT_EQ((*HookScope::place())->hook().name, "prepare()");
    batch.add_field("thread", at::full({batch.batch_size()}, at::get_num_threads()));
    batch.add_field("double", batch.tensor("index") * 2);
  };
  DataLoader loader(dataset, wanted);
  loader.start_epoch(0);
  const auto batches = drain(loader);
  EXPECT_TRUE(at::equal(all_of(batches, "double"), all_of(batches, "index") * 2));
  EXPECT_TRUE(at::equal(all_of(batches, "thread"), all_of(batches, "intra_op_threads")));
  EXPECT_EQ(batches[1].dataset_name(), "counting");
}

TEST_P(LoaderTest, ThrowsWhatPreparingThrewInTheTurnOfItsBatchAndNamesWhoseItIs) {
  const CountingDataset dataset(12);
  LoaderOptions wanted = test::counting_options(4, GetParam(), Shuffle::kNo);
  wanted.transfer.prepare_hook = {"prepare()", "model", "m"};
  wanted.transfer.prepare = [](SampleList& batch) {
    if (batch.tensor("index")[0].item<int>() == 4) throw std::runtime_error("not this one");
  };
  DataLoader loader(dataset, wanted);
  loader.start_epoch(0);
  EXPECT_TRUE(loader.next().has_value());
  EXPECT_EQ(last_hook(loader), "get() of data set 'counting' (train) or of its processors");
  EXPECT_THROW((void)loader.next(), std::runtime_error);
  EXPECT_EQ(last_hook(loader), "prepare() of model 'm'");
  EXPECT_EQ(loader.next()->tensor("index")[0].item<int>(), 8);
  EXPECT_EQ(last_hook(loader), "get() of data set 'counting' (train) or of its processors");
}

TEST_P(LoaderTest, DropsTheSmallerLastBatchWhenAsked) {
  const CountingDataset dataset(10);
  LoaderOptions wanted = test::counting_options(4, GetParam());
  wanted.last_batch = LastBatch::kDrop;
  DataLoader loader(dataset, wanted);
  EXPECT_EQ(loader.num_batches(), 2);
  loader.start_epoch(0);
  EXPECT_EQ(drain(loader).size(), 2U);
}

TEST_P(LoaderTest, GivesTheFirstBatchesOfEachEpochWhenLimited) {
  const CountingDataset dataset(50);
  LoaderOptions wanted = test::counting_options(8, GetParam());
  wanted.max_batches = 3;
  DataLoader loader(dataset, wanted);
  EXPECT_EQ(loader.num_batches(), 3);
  for (const std::int64_t epoch : {0, 1}) {
    loader.start_epoch(epoch);
    const auto order = permutation(50, 11, static_cast<std::uint64_t>(epoch));
    const at::Tensor expected =
        at::tensor(std::vector<std::int64_t>(order.begin(), order.begin() + 24));
    EXPECT_TRUE(at::equal(all_of(drain(loader), "index"), expected)) << epoch;
  }
  wanted.max_batches = 100;
  EXPECT_EQ(DataLoader(dataset, wanted).num_batches(), 7);
  wanted.max_batches = 0;
  DataLoader none(dataset, wanted);
  none.start_epoch(0);
  EXPECT_FALSE(none.next().has_value());
}

TEST_P(LoaderTest, LeavesTheTrainersGeneratorAlone) {
  const CountingDataset dataset(50);
  DataLoader loader(dataset, test::counting_options(8, GetParam()));
  at::manual_seed(5);
  const at::Tensor expected = at::rand({4});
  at::manual_seed(5);
  loader.start_epoch(0);
  drain(loader);
  EXPECT_TRUE(at::equal(at::rand({4}), expected));
}

TEST_P(LoaderTest, MakesTensorsThatAutogradMayUse) {
  const CountingDataset dataset(4);
  DataLoader loader(dataset, test::counting_options(4, GetParam()));
  loader.start_epoch(0);
  const auto batch = loader.next();
  ASSERT_TRUE(batch.has_value());
  at::Tensor weight = at::ones({4}, at::kDouble).requires_grad_(true);
  (weight * batch->tensor("noise")).sum().backward();
  EXPECT_TRUE(at::equal(weight.grad(), batch->tensor("noise")));
}

TEST(LoaderThreadsTest, WorkersLeaveAtenOneThreadAndTheCallerAllOfThem) {
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  const CountingDataset dataset(8);
  DataLoader loader(dataset, test::counting_options(4, /*num_workers=*/2));
  loader.start_epoch(0);
  const at::Tensor threads = all_of(drain(loader), "intra_op_threads");
  EXPECT_EQ(at::get_num_threads(), 3);
  int of_new_thread = 0;
  std::thread([&] { of_new_thread = at::get_num_threads(); }).join();
  at::set_num_threads(before);
  EXPECT_TRUE(at::equal(threads, at::ones({8}, at::kLong))) << threads;
  EXPECT_EQ(of_new_thread, 3);
}

}  // namespace
}  // namespace pergola::host
