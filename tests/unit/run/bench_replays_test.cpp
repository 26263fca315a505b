// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/bench_replays.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::int64_t kSteps = 2;

class Noted final : public RecordedWork {
 public:
  Noted(std::string name, std::vector<std::string>& replays)
      : name_(std::move(name)), replays_(replays) {}
  void replay(const std::vector<at::Tensor>& /*from*/) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    replays_.push_back(name_);
  }

 private:
  std::string name_;
  std::vector<std::string>& replays_;
};

class LoopBesideReplaysTest : public ::testing::Test {
 protected:
  // A window of the loop that notes these, and takes some milliseconds.
  void window(const std::vector<RecordedWork*>& noted, std::int64_t replayed,
              int milliseconds = 0) {
    std::vector<RecordedWork*>& into = beside_.begin_window();
    into.insert(into.end(), noted.begin(), noted.end());
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    beside_.end_window(replayed);
  }
  [[nodiscard]] BenchReport report() const {
    BenchReport report;
    beside_.fill(report);
    return report;
  }

  std::vector<std::string> replays_;
  Noted compute_{"compute", replays_};
  Noted other_{"other shape", replays_};
  Noted apply_{"apply", replays_};
  LoopBesideReplays beside_{c10::Device(c10::kCPU), kSteps};
};

// Once before the window, so that the device is at work, and once in it.
TEST_F(LoopBesideReplaysTest, TheSameIsReplayedInTheSameOrder) {
  window({&compute_, &apply_, &other_, &apply_}, kSteps);
  EXPECT_THAT(replays_, ElementsAre("compute", "apply", "other shape", "apply", "compute", "apply",
                                    "other shape", "apply"));
}

// Two replays a step of a millisecond each, at least, beside 20 milliseconds of two steps. The
// overhead is of these two, whatever they are.
TEST_F(LoopBesideReplaysTest, TimesAreThoseOfAStepAndTheirQuotientIsTheOverhead) {
  window({&compute_, &apply_, &compute_, &apply_}, kSteps, 20);
  const BenchReport found = report();
  EXPECT_GE(found.loop_ms.value(), 10);
  EXPECT_GE(found.replay_ms.value(), 2);
  EXPECT_DOUBLE_EQ(found.loop_overhead().value(), *found.loop_ms / *found.replay_ms - 1);
}

// What was recorded before may be gone: nothing of it is touched.
TEST_F(LoopBesideReplaysTest, AWindowInWhichSomethingWasRecordedDoesNotCount) {
  window({&compute_, nullptr, &compute_, &apply_}, kSteps);
  EXPECT_THAT(replays_, IsEmpty());
  EXPECT_EQ(report().replay_ms, std::nullopt);
  EXPECT_EQ(report().loop_overhead(), std::nullopt);
}

TEST_F(LoopBesideReplaysTest, AWindowThatWasNotReplayedAsAWholeDoesNotCount) {
  window({&compute_, &apply_}, kSteps - 1);
  window({}, 0);
  EXPECT_THAT(replays_, IsEmpty());
  EXPECT_EQ(report().loop_ms, std::nullopt);
}

}  // namespace
}  // namespace pergola::host
