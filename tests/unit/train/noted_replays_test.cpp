// SPDX-License-Identifier: BSD-3-Clause
// What RecordedStep notes for those who replay the same by hand.
#include "unit/train/graph_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <utility>
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

class KeepsBatches final : public Callback {
 public:
  void on_update_end(TrainerState&, const SampleList& batch, const ModelOutput&) override {
    batches.push_back(batch.get_fields(batch.fields()));
  }
  void on_train_end(TrainerState&) override { at_end(); }

  std::vector<SampleList> batches;
  std::function<void()> at_end;
};

// Batches of 4, 4 and 2 share their memory: what was noted of one shape is replayed with a batch of
// its own, and not with what another has left there.
TEST_F(NotedReplays, ComeWithABatchOfTheirShape) {
  GraphRun run(options_for(15), &recorder_, /*averages=*/false, samples_);
  auto keeping = std::make_unique<KeepsBatches>();
  KeepsBatches& kept = *keeping;
  run.trainer->add_callback("keeps_batches", std::move(keeping));
  Works works;
  run.spy->at_update_end = [&](TrainerState& state) {
    if (state.progress.update == 12) run.trainer->note_replays(&works);
  };
  kept.at_end = [&] {
    ASSERT_EQ(works.size(), 6U);  // of 4, of 4 and of 2 samples, each with its step
    run.model->eval();            // without dropout
    const at::Tensor weight = run.model->parameters().front();
    const auto expect_gradient_of = [&](const SampleList& batch) {
      const at::Tensor found = weight.grad().clone();
      run.model->zero_grad();
      total_loss(*run.model->training_step(batch, 0).losses).backward();
      EXPECT_TRUE(found.allclose(weight.grad()));
    };
    works[4]->replay();
    expect_gradient_of(kept.batches[14]);
    works[0]->replay();
    expect_gradient_of(kept.batches[12]);
  };
  static_cast<void>(run.trainer->run());
}

}  // namespace
}  // namespace pergola::host
