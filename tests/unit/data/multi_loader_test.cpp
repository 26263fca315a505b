// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/multi_loader.h"

#include "unit/data/counting_dataset.h"
#include "unit/data/fixture.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <tuple>

namespace pergola::host {
namespace {

using test::CountingDataset;
using test::drain;
using test::error_of;
using test::kIterationStrategies;

// Three data sets of 1, 3 and 7 batches of 4.
class Sources {
 public:
  explicit Sources(std::int64_t bad = -1)
      : data_{CountingDataset(3), CountingDataset(10, bad), CountingDataset(25)} {}

  // All but the number of workers is the same each time.
  [[nodiscard]] std::unique_ptr<MultiLoader> loader(const std::string& type,
                                                    std::int64_t workers) const {
    Value params{Value::Table{}};
    if (type == "ratios") {
      params["sampling_ratios"] = Value::Table{{"a", 1}, {"b", 3}, {"c", 2}};
    }
    const MultitaskingConfig config{true, type, Config(params)};
    std::vector<BatchMaker> makers;
    for (std::size_t i = 0; i < 3; ++i) makers.emplace_back(data_[i], options(i));
    return std::make_unique<MultiLoader>(
        makers, IterationStrategy::parse(config, {"a", "b", "c"}),
        MultiLoaderOptions{.seed = 7, .num_workers = workers, .prefetch = 2});
  }

  // The data set's own loader, which a batch must be from.
  [[nodiscard]] std::unique_ptr<DataLoader> own(std::size_t dataset) const {
    return std::make_unique<DataLoader>(data_[dataset], options(dataset));
  }

 private:
  [[nodiscard]] static LoaderOptions options(std::size_t dataset) {
    LoaderOptions options = test::counting_options(4, /*num_workers=*/0);
    options.dataset_name = std::string(1, static_cast<char>('a' + dataset));
    options.seed = 20 + dataset;
    return options;
  }
  const CountingDataset data_[3];
};

// What tells a batch from all others.
using Mark = std::tuple<std::string, std::vector<std::int64_t>, std::vector<double>>;

template <class T>
std::vector<T> values(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<T>(), tensor.const_data_ptr<T>() + tensor.numel()};
}

std::vector<Mark> marks(const std::vector<SampleList>& batches) {
  std::vector<Mark> marks;
  for (const SampleList& batch : batches) {
    marks.emplace_back(batch.dataset_name(), values<std::int64_t>(batch.tensor("index")),
                       values<double>(batch.tensor("noise")));
  }
  return marks;
}

class MultiLoaderTest : public testing::TestWithParam<std::tuple<const char*, std::int64_t>> {
 protected:
  [[nodiscard]] std::unique_ptr<MultiLoader> loader(std::int64_t workers) const {
    return sources_.loader(std::get<0>(GetParam()), workers);
  }
  [[nodiscard]] static std::int64_t workers() { return std::get<1>(GetParam()); }

  const Sources sources_;
};
INSTANTIATE_TEST_SUITE_P(Strategies, MultiLoaderTest,
                         testing::Combine(testing::ValuesIn(kIterationStrategies),
                                          testing::Values(0, 1, 3)),
                         [](const auto& param) {
                           return std::string(std::get<0>(param.param)) + "_" +
                                  std::to_string(std::get<1>(param.param));
                         });

// At every position of five epochs, in which the small data sets begin anew many times.
TEST_P(MultiLoaderTest, TheRestOfAnEpochIsThatOfOneThatWasNotCut) {
  const auto whole = loader(/*workers=*/0);
  for (std::int64_t epoch = 0; epoch < 5; ++epoch) {
    whole->start_epoch(epoch);
    const std::vector<Mark> all = marks(drain(*whole));
    ASSERT_EQ(static_cast<std::int64_t>(all.size()), whole->num_batches());
    for (std::int64_t first = 0; first <= whole->num_batches(); ++first) {
      const auto resumed = loader(workers());  // as in another process
      resumed->start_epoch(epoch, first);
      EXPECT_EQ(marks(drain(*resumed)), std::vector<Mark>(all.begin() + first, all.end()))
          << "epoch " << epoch << ", batch " << first;
    }
  }
}

TEST_P(MultiLoaderTest, EachBatchIsTheNextOfItsDataSetsOwnLoader) {
  std::map<std::string, std::unique_ptr<DataLoader>> own;
  std::map<std::string, std::int64_t> epochs;
  for (std::size_t i = 0; i < 3; ++i) {
    auto loader = sources_.own(i);
    loader->start_epoch(0);
    own.emplace(loader->options().dataset_name, std::move(loader));
  }
  const auto all = loader(workers());
  for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
    all->start_epoch(epoch);
    while (const auto batch = all->next()) {
      DataLoader& source = *own.at(batch->dataset_name());
      auto expected = source.next();
      if (!expected) {
        source.start_epoch(++epochs[batch->dataset_name()]);
        expected = source.next();
      }
      ASSERT_TRUE(expected.has_value());
      EXPECT_TRUE(at::equal(batch->tensor("index"), expected->tensor("index")));
      EXPECT_TRUE(at::equal(batch->tensor("noise"), expected->tensor("noise")));
      EXPECT_EQ(batch->dataset_type(), "train");
    }
  }
}

class MultiLoaderWorkersTest : public testing::TestWithParam<std::int64_t> {};
INSTANTIATE_TEST_SUITE_P(Workers, MultiLoaderWorkersTest, testing::Values(0, 1, 3));

TEST_P(MultiLoaderWorkersTest, ThrowsTheErrorOfASampleInTheTurnOfItsBatchAndNamesItsDataSet) {
  const Sources sources(/*bad=*/5);
  const auto loader = sources.loader("round_robin", GetParam());
  loader->start_epoch(0);  // a, b, c, a, b, ...: b has three batches, and one of them is bad
  int errors = 0;
  for (std::int64_t i = 0; i < loader->num_batches(); ++i) {
    try {
      EXPECT_TRUE(loader->next().has_value());
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "sample 5 is bad");
      ++errors;
    }
    std::string last;
    spell_hook(loader->last_hook(), [&last](std::string_view text) { last += text; });
    const std::string expected = {"abc"[i % 3]};
    EXPECT_EQ(last, "get() of data set '" + expected + "' (train) or of its processors");
  }
  EXPECT_FALSE(loader->next().has_value());
  // b has four turns: all of its first epoch, and the first batch of its second one.
  const std::vector<std::int64_t> second = permutation(10, 21, 1);
  const bool again = std::find(second.begin(), second.begin() + 4, 5) != second.begin() + 4;
  EXPECT_EQ(errors, again ? 2 : 1);
}

TEST_P(MultiLoaderWorkersTest, NamesWhoFailedToPrepareABatch) {
  const CountingDataset dataset(8);
  LoaderOptions options = test::counting_options(4, /*num_workers=*/0, Shuffle::kNo);
  options.transfer.prepare_hook = {"prepare()", "model", "m"};
  options.transfer.prepare = [](SampleList& batch) {
    if (batch.tensor("index")[0].item<int>() == 0) throw std::runtime_error("not this one");
  };
  const MultitaskingConfig config{true, "round_robin", Config(Value(Value::Table{}))};
  MultiLoader loader({BatchMaker(dataset, options), BatchMaker(dataset, options)},
                     IterationStrategy::parse(config, {"a", "b"}),
                     MultiLoaderOptions{.num_workers = GetParam()});
  loader.start_epoch(0);
  const auto last = [&] { return loader.last_hook().name; };
  for (int i = 0; i < 2; ++i) {  // the first batch of each, then the second ones
    EXPECT_THROW((void)loader.next(), std::runtime_error);
    EXPECT_EQ(last(), "prepare()");
  }
  EXPECT_TRUE(loader.next().has_value());
  EXPECT_EQ(last(), "get()");
}

TEST_P(MultiLoaderWorkersTest, HasNoBatchBeforeTheFirstEpochAndAfterALimit) {
  const Sources sources;
  const auto loader = sources.loader("size_proportional", GetParam());
  EXPECT_FALSE(loader->next().has_value());
  EXPECT_EQ(loader->num_batches(), 1 + 3 + 7);
  loader->limit(4);
  loader->start_epoch(0);
  EXPECT_EQ(drain(*loader).size(), 4U);
  loader->start_epoch(1, /*first_batch=*/4);
  EXPECT_FALSE(loader->next().has_value());
}

TEST_P(MultiLoaderWorkersTest, LeavesAnEpochThatIsNotOverForTheNext) {
  const Sources sources;
  const auto loader = sources.loader("random", GetParam());
  loader->start_epoch(1);
  const std::vector<Mark> expected = marks(drain(*loader));
  loader->start_epoch(0);
  ASSERT_TRUE(loader->next().has_value());
  loader->start_epoch(1);
  EXPECT_EQ(marks(drain(*loader)), expected);
}

}  // namespace
}  // namespace pergola::host
