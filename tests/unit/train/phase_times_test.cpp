// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/phase_times.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

namespace pergola::host {
namespace {

using std::chrono::steady_clock;

void wait(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

TEST(PhaseTimesTest, AScopeInsideOfAnotherTakesItsTimeFromIt) {
  PhaseTimes times;
  {
    const auto callbacks = times.measure(Phase::kCallbacks);
    wait(2);
    {
      const auto checkpoint = times.measure(Phase::kCheckpoint);
      wait(10);
    }
    const double outer = times.totals()[Phase::kCallbacks];
    EXPECT_GE(outer, 0.002);
    wait(2);
    EXPECT_GE(times.totals()[Phase::kCallbacks], outer + 0.002) << "it goes on after the inner one";
  }
  EXPECT_GE(times.totals()[Phase::kCheckpoint], 0.010);
  EXPECT_EQ(times.totals()[Phase::kForward], 0.0);
}

TEST(PhaseTimesTest, AllPhasesAddUpToTheTimeThatHasPassed) {
  const auto before = steady_clock::now();
  PhaseTimes times;
  const auto begin = steady_clock::now();
  wait(1);
  for (int i = 0; i < 100; ++i) {
    const auto data = times.measure(Phase::kData);
    const auto forward = times.measure(Phase::kForward);
  }
  const std::chrono::duration<double> least = steady_clock::now() - begin;
  const double sum = times.totals().sum();
  const std::chrono::duration<double> most = steady_clock::now() - before;
  EXPECT_GE(sum, least.count() - 1e-9);
  EXPECT_LE(sum, most.count() + 1e-9);
}

TEST(PhaseTimesTest, IntervalsFollowEachOtherWithoutGapOrOverlap) {
  PhaseTimes times;
  const auto forward = times.measure(Phase::kForward);
  wait(2);
  const double first = times.take()[Phase::kForward];
  wait(2);
  const double second = times.take()[Phase::kForward];
  EXPECT_GE(first, 0.002);
  EXPECT_GE(second, 0.002);
  EXPECT_GE(times.totals()[Phase::kForward], first + second - 1e-12);
  EXPECT_LT(times.take()[Phase::kForward], second) << "nothing is handed out twice";
}

TEST(PhaseTimesTest, ANewBeginForgetsWhatWas) {
  PhaseTimes times;
  {
    const auto data = times.measure(Phase::kData);
    wait(2);
  }
  times.restart();
  EXPECT_EQ(times.take()[Phase::kData], 0.0);
  EXPECT_EQ(times.totals()[Phase::kData], 0.0);
}

TEST(PhaseTimesTest, PhasesHaveNames) {
  EXPECT_STREQ(phase_name(Phase::kData), "data");
  EXPECT_STREQ(phase_name(Phase::kOther), "other");
  EXPECT_EQ(static_cast<std::size_t>(Phase::kOther) + 1, kNumPhases);
}

TEST(PhaseTimesTest, AnObserverIsToldEachChange) {
  struct Observer final : PhaseObserver {
    void on_phase(Phase next) noexcept override { phases.push_back(next); }
    std::vector<Phase> phases;
  } observer;
  PhaseTimes times;
  times.observe(&observer);
  {
    const auto callbacks = times.measure(Phase::kCallbacks);
    const auto checkpoint = times.measure(Phase::kCheckpoint);
    EXPECT_EQ(times.current(), Phase::kCheckpoint);
  }
  times.observe(nullptr);
  { const auto data = times.measure(Phase::kData); }
  EXPECT_EQ(observer.phases,
            (std::vector{Phase::kCallbacks, Phase::kCheckpoint, Phase::kCallbacks, Phase::kOther}));
}

}  // namespace
}  // namespace pergola::host
