// SPDX-License-Identifier: BSD-3-Clause
// What RecordedStep notes for those who replay the same by hand.
#include "unit/train/graph_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace pergola::host {
namespace {

using testing::IsEmpty;
using Works = std::vector<RecordedWork*>;

class NotedReplays : public RecordedStepTest {
 protected:
  // What is noted of the updates after `first`, up to `last`.
  Works noted(TrainerOptions options, std::int64_t first, std::int64_t last) {
    samples_ = 8 * options.update_frequency;  // in batches of 4: one shape
    GraphRun run(options, &recorder_, /*averages=*/false, samples_);
    Works works;
    run.spy->at_update_end = [&](TrainerState& state) {
      if (state.progress.update == first) run.trainer->note_replays(&works);
      if (state.progress.update == last) run.trainer->note_replays(nullptr);
    };
    static_cast<void>(run.train());
    return works;
  }
};

// The fourth update of a shape is the first that is recorded, half by half.
TEST_F(NotedReplays, AreInTheirOrderBehindANullWhereOneIsRecorded) {
  const Works works = noted(options_for(6), 3, 5);
  ASSERT_EQ(works.size(), 6U);
  const Works expected = {nullptr, works[1], nullptr, works[3], works[1], works[3]};
  EXPECT_EQ(works, expected);
  EXPECT_NE(works[1], nullptr);
  EXPECT_NE(works[1], works[3]);
}

TEST_F(NotedReplays, AreNoneOfUpdatesThatAreDoneByOperations) {
  EXPECT_THAT(noted(options_for(6), 1, 3), IsEmpty());
}

// Forward and backward of two micro-batches, and the end of the update.
TEST_F(NotedReplays, OfMicroBatchesAreAllOfTheUpdate) {
  TrainerOptions options = options_for(8);
  options.update_frequency = 2;
  const Works works = noted(options, 7, 8);
  ASSERT_EQ(works.size(), 3U);
  EXPECT_EQ(works[0], works[1]);
  EXPECT_NE(works[2], works[0]);
}

}  // namespace
}  // namespace pergola::host
