// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/iteration_strategy.h"

#include "unit/data/fixture.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <ctime>
#include <functional>
#include <limits>
#include <map>
#include <numeric>

namespace pergola::host {
namespace {

using test::error_of;
using test::kIterationStrategies;
using testing::HasSubstr;

const std::vector<std::string> kNames = {"a", "b", "c", "d", "e"};

IterationStrategy parse(const std::string& type, const Value& params = Value::Table{},
                        std::size_t datasets = 3) {
  const MultitaskingConfig config{true, type, Config(params, "multitasking.params")};
  return IterationStrategy::parse(
      config, {kNames.begin(), kNames.begin() + static_cast<std::ptrdiff_t>(datasets)});
}

// MMF's three data sets of its test: 4, 40 and 4000 samples in batches of 4.
const std::vector<EpochSize> kMmf = {{4, 1}, {40, 10}, {4'000, 1'000}};
// Five of 2000 batches of one sample: an epoch is 10000 draws.
const std::vector<EpochSize> kFive(5, {2'000, 2'000});
// Small ones, so that they begin anew within an epoch and at its border.
const std::vector<EpochSize> kSmall = {{3, 1}, {10, 3}, {25, 7}};

Turns turns(const std::string& type, const Value& params, const std::vector<EpochSize>& sizes,
            std::uint64_t seed = 1234) {
  return {parse(type, params, sizes.size()), sizes, seed};
}

Value params_of(const std::string& type) {
  if (type == "constant") return Value::Table{{"idx", 1}};
  if (type == "round_robin") return Value::Table{{"start_idx", 2}};
  if (type == "temperature") return Value::Table{{"temperature", 3.0}};
  if (type != "ratios") return Value::Table{};
  return Value::Table{{"sampling_ratios", Value::Table{{"a", 0.2}, {"b", 0.5}, {"c", 0.3}}}};
}

std::vector<std::int64_t> count(const std::vector<Turn>& turns, std::size_t first = SIZE_MAX) {
  std::vector<std::int64_t> counts(kNames.size(), 0);
  for (std::size_t i = 0; i < std::min(first, turns.size()); ++i) ++counts[turns[i].dataset];
  return counts;
}

std::vector<std::size_t> choices(const std::vector<Turn>& turns) {
  std::vector<std::size_t> choices;
  for (const Turn& turn : turns) choices.push_back(turn.dataset);
  return choices;
}

TEST(SizeProportionalTest, TakesEachBatchOnceAndMostlyOfTheLargest) {
  const auto epoch = turns("size_proportional", Value::Table{}, kMmf).epoch(0);
  ASSERT_EQ(epoch.size(), 1'011U);
  EXPECT_THAT(count(epoch), testing::ElementsAre(1, 10, 1'000, 0, 0));
  // 98.9 of 100 are expected of c, with a deviation of 1.0.
  EXPECT_GE(count(epoch, 100)[2], 98);
}

TEST(SizeProportionalTest, DrawsTheOthersInProportionWhenOneIsUsedUp) {
  // d to e as 1 to 3, beside three sets that are soon used up: of the first 400 draws a quarter and
  // three quarters, with a deviation of 9.
  const std::vector<EpochSize> sizes = {{2, 1}, {2, 1}, {2, 1}, {1'000, 1'000}, {3'000, 3'000}};
  const auto epoch = turns("size_proportional", Value::Table{}, sizes).epoch(0);
  EXPECT_NEAR(static_cast<double>(count(epoch, 400)[3]), 100, 36);
  EXPECT_THAT(count(epoch), testing::ElementsAre(1, 1, 1, 1'000, 3'000));
}

TEST(ConstantTest, IsOnePassOverItsDataSet) {
  auto constant = turns("constant", Value::Table{{"idx", 1}}, kMmf);
  EXPECT_EQ(constant.num_batches(), 10);
  EXPECT_THAT(count(constant.epoch(2)), testing::ElementsAre(0, 10, 0, 0, 0));
  EXPECT_EQ(constant.epoch(2)[9], (Turn{1, 2, 9}));
  EXPECT_THAT(count(turns("constant", Value::Table{}, kMmf).epoch(0)),
              testing::ElementsAre(1, 0, 0, 0, 0));
}

TEST(ConstantTest, IsWhatMultitaskingThatIsOffMeans) {
  const MultitaskingConfig off{false, "ratios", Config()};
  const auto strategy = IterationStrategy::parse(off, {"a", "b"});
  EXPECT_EQ(strategy.type(), "constant");
  EXPECT_TRUE(strategy.draws(0));
  EXPECT_FALSE(strategy.draws(1));
}

TEST(RoundRobinTest, GivesEachItsTurnAcrossEpochs) {
  const auto first = turns("round_robin", Value::Table{}, kMmf).epoch(0);
  for (const std::int64_t each : {0, 1, 2}) {
    EXPECT_LE(count(first, 100)[static_cast<std::size_t>(each)], 34);
  }
  EXPECT_THAT(choices({first.begin(), first.begin() + 4}), testing::ElementsAre(0, 1, 2, 0));
  // An epoch has 1 + 3 + 7 = 11 turns, so the second one begins where 11 mod 3 = 2 further is.
  auto from_second = turns("round_robin", Value::Table{{"start_idx", 1}}, kSmall);
  EXPECT_EQ(from_second.epoch(0)[0].dataset, 1U);
  EXPECT_EQ(from_second.epoch(0)[10].dataset, 2U);
  EXPECT_EQ(from_second.epoch(1)[0].dataset, 0U);
}

// Of 10000 draws 2000 are expected of each, with a deviation of 40: of one seed in sixteen, one of
// the five is beyond these bounds, which are MMF's.
TEST(RandomTest, GivesEachTheSameChance) {
  const auto epoch = turns("random", Value::Table{}, kFive, /*seed=*/42).epoch(0);
  ASSERT_EQ(epoch.size(), 10'000U);
  for (const std::int64_t each : count(epoch)) {
    EXPECT_GE(each, 1'900);
    EXPECT_LE(each, 2'100);
  }
}

// MMF's seed. Its generator is numpy's and ours is another one, so that the draws are not the same:
// of the first epoch one of the five has 1868, which is 3.3 deviations. Of twenty epochs 40000 are
// expected of each, with a deviation of 179; four of them are allowed, where MMF's bounds are 2000.
TEST(RandomTest, GivesEachTheSameChanceWithMmfsSeed) {
  Turns all = turns("random", Value::Table{}, kFive, /*seed=*/1234);
  std::vector<std::int64_t> sums(kFive.size(), 0);
  for (std::int64_t epoch = 0; epoch < 20; ++epoch) {
    const std::vector<std::int64_t> counts = count(all.epoch(epoch));
    std::transform(counts.begin(), counts.end(), sums.begin(), sums.begin(), std::plus<>());
  }
  for (const std::int64_t each : sums) EXPECT_NEAR(static_cast<double>(each), 40'000, 716);
}

Value ratios(double a, double b, double c) {
  return Value::Table{{"sampling_ratios", Value::Table{{"a", a}, {"b", b}, {"c", c}}}};
}

TEST(RatiosTest, AreNormalised) {
  const std::vector<EpochSize> sizes(3, {4'000, 4'000});
  const auto epoch = turns("ratios", ratios(1, 2, 5), sizes).epoch(0);
  // 1500, 3000 and 7500 of 12000, with deviations of 36, 47 and 53; four of them are allowed.
  EXPECT_NEAR(static_cast<double>(count(epoch)[0]), 1'500, 145);
  EXPECT_NEAR(static_cast<double>(count(epoch)[1]), 3'000, 190);
  EXPECT_NEAR(static_cast<double>(count(epoch)[2]), 7'500, 212);
  EXPECT_EQ(turns("ratios", ratios(0.125, 0.25, 0.625), sizes).epoch(0), epoch);
}

TEST(RatiosTest, OneOfZeroIsNeverDrawnAndNoPartOfAnEpoch) {
  auto two = turns("ratios", ratios(1, 0, 1), kSmall);
  EXPECT_EQ(two.num_batches(), 1 + 7);
  for (std::int64_t epoch = 0; epoch < 50; ++epoch) EXPECT_EQ(count(two.epoch(epoch))[1], 0);
  EXPECT_FALSE(parse("ratios", ratios(1, 0, 1)).draws(1));
}

TEST(TemperatureTest, OneDrawsInProportionToSizesAndAHighOneEvenly) {
  const Value one = Value::Table{{"temperature", 1}};
  const Value high = Value::Table{{"temperature", std::numeric_limits<double>::infinity()}};
  // The draws are the very same, until size_proportional has used one up: here the first, at once.
  const std::vector<EpochSize> sizes = {{1'000, 1'000}, {2'000, 2'000}, {5'000, 5'000}};
  const auto proportional = turns("size_proportional", Value::Table{}, sizes).epoch(0);
  const auto tempered = turns("temperature", one, sizes).epoch(0);
  EXPECT_TRUE(std::equal(tempered.begin(), tempered.begin() + 4'000, proportional.begin()));
  EXPECT_EQ(turns("temperature", high, kFive).epoch(0),
            turns("random", Value::Table{}, kFive).epoch(0));
}

// 100 and 10000 samples have the weights 10 and 100: of 10100 draws 918.2 are expected of the
// first, with a deviation of 28.9, where proportion would give 100. Two is what is left out.
TEST(TemperatureTest, TwoDrawsBySquareRootsOfSizes) {
  const std::vector<EpochSize> sizes = {{100, 100}, {10'000, 10'000}};
  const auto epoch = turns("temperature", Value::Table{{"temperature", 2.0}}, sizes).epoch(0);
  EXPECT_NEAR(static_cast<double>(count(epoch)[0]), 918, 116);
  EXPECT_EQ(turns("temperature", Value::Table{}, sizes).epoch(0), epoch);
}

class EachStrategyTest : public testing::TestWithParam<const char*> {
 protected:
  [[nodiscard]] static Turns small(std::uint64_t seed = 1234) {
    return turns(GetParam(), params_of(GetParam()), kSmall, seed);
  }
};
INSTANTIATE_TEST_SUITE_P(Types, EachStrategyTest, testing::ValuesIn(kIterationStrategies),
                         [](const auto& param) { return std::string(param.param); });

// Each data set's batches come in the order of its own epochs, without a gap or a repetition, also
// from one epoch of the run to the next.
TEST_P(EachStrategyTest, ADataSetGoesOnWhereItStood) {
  Turns all = small();
  std::vector<std::int64_t> seen(3, 0);
  for (std::int64_t epoch = 0; epoch < 20; ++epoch) {
    for (const Turn& turn : all.epoch(epoch)) {
      const std::int64_t batches = kSmall[turn.dataset].batches;
      EXPECT_EQ(turn.epoch * batches + turn.batch, seen[turn.dataset]++);
    }
  }
}

TEST_P(EachStrategyTest, AnEpochIsAFunctionOfItsNumberAndTheSeed) {
  Turns all = small();
  std::vector<std::vector<Turn>> epochs;
  for (std::int64_t epoch = 0; epoch < 6; ++epoch) epochs.push_back(all.epoch(epoch));
  for (const std::int64_t epoch : {5, 2, 4, 0}) {
    EXPECT_EQ(small().epoch(epoch), epochs[static_cast<std::size_t>(epoch)]);
    EXPECT_EQ(all.epoch(epoch), epochs[static_cast<std::size_t>(epoch)]);
  }
  const bool draws =
      GetParam() != std::string("constant") && GetParam() != std::string("round_robin");
  EXPECT_EQ(choices(small().epoch(3)) != choices(small(99).epoch(3)), draws);
  EXPECT_EQ(choices(small().epoch(3)) != choices(small().epoch(0)), draws);
}

TEST_P(EachStrategyTest, ALimitCutsEpochs) {
  Turns all = small();
  const auto whole = all.epoch(0);
  Turns cut = small();
  cut.limit(2);
  EXPECT_EQ(cut.num_batches(), 2);
  EXPECT_EQ(cut.epoch(0), (std::vector<Turn>{whole[0], whole[1]}));
}

TEST_P(EachStrategyTest, OfOneDataSetIsThatDataSet) {
  const Value params = GetParam() == std::string("ratios")
                           ? Value(Value::Table{{"sampling_ratios", Value::Table{{"a", 2}}}})
                           : Value(Value::Table{});
  Turns one = turns(GetParam(), params, {{25, 7}});
  ASSERT_EQ(one.num_batches(), 7);
  for (std::int64_t batch = 0; batch < 7; ++batch) {
    EXPECT_EQ(one.epoch(4)[static_cast<std::size_t>(batch)], (Turn{0, 4, batch}));
  }
}

// A run that is resumed after a million batches begins as soon as any other.
TEST_P(EachStrategyTest, AMillionChoicesAreGoneThroughInLessThanASecond) {
  const std::vector<EpochSize> sizes = {{100, 100}, {300, 300}, {600, 600}};
  Turns all = turns(GetParam(), params_of(GetParam()), sizes);
  const std::clock_t begin = std::clock();
  EXPECT_FALSE(all.epoch(1'000).empty());
  EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, 1.0);
}

TEST(StrategyParamsTest, WhatDoesNotFitIsAConfigError) {
  const auto refused = [](const std::string& type, const Value& params) {
    return error_of(ErrorKind::kConfig, [&] { static_cast<void>(parse(type, params)); });
  };
  EXPECT_THAT(refused("proportional", Value::Table{}),
              HasSubstr("multitasking.type = \"proportional\" is unknown"));
  EXPECT_THAT(refused("round_robin", Value::Table{{"idx", 1}}),
              HasSubstr("multitasking.params.idx is not a known key"));
  EXPECT_THAT(refused("constant", Value::Table{{"idx", 3}}), HasSubstr("multitasking.params.idx"));
  EXPECT_THAT(refused("random", Value::Table{{"temperature", 1}}), HasSubstr("is not a known key"));
  EXPECT_THAT(refused("temperature", Value::Table{{"temperature", 0.5}}),
              HasSubstr("multitasking.params.temperature = 0.5 is out of range; expected 1"));
  EXPECT_THAT(refused("ratios", Value::Table{}), HasSubstr("has no ratio for data set 'a'"));
  EXPECT_THAT(refused("ratios", ratios(1, -1, 0)), HasSubstr("sampling_ratios.b = -1"));
  EXPECT_THAT(refused("ratios", ratios(0, 0, 0)), HasSubstr("add up to 0; expected one above 0"));
  const Value other = Value::Table{{"sampling_ratios", Value::Table{{"vqa", 1}}}};
  EXPECT_THAT(refused("ratios", other),
              HasSubstr("multitasking.params.sampling_ratios.vqa is not a known key"));
}

}  // namespace
}  // namespace pergola::host
