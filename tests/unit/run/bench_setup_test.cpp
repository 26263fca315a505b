// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/bench_setup.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace pergola::host {
namespace {

// 3 steps to warm up, two windows of 5. Before each window that is compared, 4 steps.
BenchPlan plan_with(std::optional<std::int64_t> settling, bool traced = false) {
  static const ResolvedConfig config{Config(Value(Value::Table{}))};
  static const PluginCatalog catalog(std::vector<std::filesystem::path>{});
  BenchRequest request{
      .config = config, .catalog = catalog, .warm_up = 3, .steps = 5, .windows = 2};
  if (traced) request.trace = "trace.json";
  return {request, /*on_gpu=*/true, settling};
}

// 3 + 2 x 5 = 13, + 3 for the trace, + 2 x (4 + 5), + 4 for each of three kinds.
TEST(BenchPlanTest, WindowsThatAreComparedComeAfterTheTrace) {
  const BenchPlan plan = plan_with(4, /*traced=*/true);
  EXPECT_EQ(plan.compare, 16);
  EXPECT_EQ(plan.waits, 34);
  EXPECT_EQ(plan.end, 46);
  EXPECT_EQ(plan.text("updates"),
            "46 updates: 3 to warm up, 2 x 5 that are measured, 3 for the trace, 18 beside bare "
            "replays, unless nothing is replayed, and 12 in which operations are counted");
}

// Steps 13 to 16 settle, 17 to 21 are a window; 22 to 25 settle, 26 to 30 are the other.
TEST(BenchPlanTest, EachWindowThatIsComparedBeginsAfterStepsThatAreNot) {
  const BenchPlan plan = plan_with(4);
  std::vector<std::int64_t> begins;
  std::vector<std::int64_t> ends;
  for (std::int64_t step = 0; step < plan.end; ++step) {
    if (!plan.in_comparison(step)) continue;
    if (plan.begins_compared(step)) begins.push_back(step);
    if (plan.ends_compared(step)) ends.push_back(step);
  }
  EXPECT_EQ(begins, (std::vector<std::int64_t>{17, 26}));
  EXPECT_EQ(ends, (std::vector<std::int64_t>{21, 30}));
}

TEST(BenchPlanTest, WithoutTheComparisonAllElseIsAsItWouldBe) {
  BenchPlan plan = plan_with(4);
  plan.leave_out_comparison();
  const BenchPlan without = plan_with(std::nullopt);
  EXPECT_EQ(plan.waits, without.waits);
  EXPECT_EQ(plan.kernels, without.kernels);
  EXPECT_EQ(plan.flops, without.flops);
  EXPECT_EQ(plan.end, without.end);
  EXPECT_FALSE(plan.in_comparison(plan.compare));
  EXPECT_EQ(plan.text("updates"), without.text("updates"));
}

}  // namespace
}  // namespace pergola::host
