// SPDX-License-Identifier: BSD-3-Clause
// Updates whose batches are too large for the memory: in parts they give the numbers of a run whose
// batches are so small.
#include "host/model/guard.h"
#include "unit/callbacks/captured_log.h"
#include "unit/train/fake_recorder.h"
#include "unit/train/test_run.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>

namespace pergola::host {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

TrainerOptions halving(std::int64_t max_updates, std::int64_t update_frequency = 1) {
  TrainerOptions options = options_for(max_updates, update_frequency);
  options.halves_batches = true;
  return options;
}

// A run whose batches have `batch_size` samples, without validation results that differ.
std::unique_ptr<TestRun> run_of(const TrainerOptions& options, std::int64_t batch_size,
                                std::int64_t stop_after = -1) {
  return std::make_unique<TestRun>(options, stop_after, 0, TestSchedule(), batch_size);
}

void expect_close(const TestRun& one, const TestRun& other) {
  const auto a = one.weights();
  const auto b = other.weights();
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_TRUE(at::allclose(a[i], b[i], /*rtol=*/1e-5, /*atol=*/1e-6)) << i;
  }
}

enum class Where { kForward, kBackward };

class TrainerMemoryTest : public TrainerTest {
 protected:
  // More samples at a time than so many do not fit, from call number `first` of forward() on.
  void fit_at_most(TestRun& run, std::int64_t samples, Where where = Where::kForward,
                   int first = 0) {
    run.model->on_forward = [this, samples, where, first](ModelOutput& output) {
      const bool is_too_large = output.scores.size(0) > samples && calls_++ >= first;
      if (is_too_large) ++shortages_;
      if (is_too_large && where == Where::kForward) throw std::bad_alloc();
      if (!is_too_large) return;
      // The second layer has its gradient by then, the first one has none.
      output.scores = output.scores * 1;
      output.fields["hidden"] = output.scores;
      throws_in_backward(output);
    };
  }
  static void throws_in_backward(ModelOutput& output) {
    output.scores.register_hook([](const at::Tensor&) -> at::Tensor { throw std::bad_alloc(); });
  }

  int calls_ = 0;
  int shortages_ = 0;
};

// 10 samples an epoch in batches of 4, 4 and 2, which are worked on in parts of 2: the same samples
// in the same order, and the same dropout, as in batches of 2 and 2 batches an update.
TEST_F(TrainerMemoryTest, HalvedBatchesAreAsUpdatesOfTwoSmallerOnes) {
  for (const Where where : {Where::kForward, Where::kBackward}) {
    calls_ = shortages_ = 0;
    const auto small = run_of(options_for(5, 2), 2);
    static_cast<void>(small->trainer->run());
    const auto halved = run_of(halving(5), 4);
    fit_at_most(*halved, 2, where);
    static_cast<void>(halved->trainer->run());
    EXPECT_EQ(shortages_, 1);  // later batches are in parts from the start
    expect_close(*halved, *small);
    const Numbers one = halved->trainer->meter().means();
    for (const auto& [key, number] : small->trainer->meter().means()) {
      EXPECT_NEAR(one.at(key), number, 1e-5) << key;
    }
    EXPECT_EQ(halved->trainer->state().progress.samples_seen,
              small->trainer->state().progress.samples_seen);
  }
}

// The first update has 4 + 4 samples, and runs out of memory in its second batch, in the middle of
// adding to the gradients of the first.
TEST_F(TrainerMemoryTest, GradientsOfEarlierBatchesOfTheUpdateAreComputedAnew) {
  const auto small = run_of(options_for(4, 4), 2);
  static_cast<void>(small->trainer->run());
  const auto halved = run_of(halving(4, 2), 4);
  fit_at_most(*halved, 2, Where::kBackward, /*first=*/1);
  static_cast<void>(halved->trainer->run());
  EXPECT_EQ(shortages_, 1);
  expect_close(*halved, *small);
}

TEST_F(TrainerMemoryTest, HooksSeeTheWholeBatchOnce) {
  class Watcher final : public Callback {
   public:
    explicit Watcher(std::vector<std::int64_t>& rows) : rows_(rows) {}
    void on_batch_end(TrainerState&, const SampleList& batch, const ModelOutput& output) override {
      EXPECT_EQ(output.losses->at("train/boring/logit_bce").dim(), 0);
      EXPECT_EQ(batch.batch_size(), output.scores.size(0));
      rows_.push_back(output.scores.size(0));
    }

   private:
    std::vector<std::int64_t>& rows_;
  };
  std::vector<std::int64_t> rows;
  const auto run = run_of(halving(3), 4);
  run->trainer->add_callback("watcher", std::make_unique<Watcher>(rows));
  fit_at_most(*run, 1);
  static_cast<void>(run->trainer->run());
  EXPECT_THAT(rows, ElementsAre(4, 4, 2));
  EXPECT_EQ(shortages_, 2);  // of 4, then of 2
}

TEST_F(TrainerMemoryTest, WhatFitsIsSavedAndTheResumedRunBeginsWithIt) {
  const auto straight = run_of(halving(6), 4);
  fit_at_most(*straight, 2);
  static_cast<void>(straight->trainer->run());
  CheckpointContent saved;
  {
    const auto first = run_of(halving(6), 4, /*stop_after=*/2);
    fit_at_most(*first, 2);
    static_cast<void>(first->trainer->run());
    saved = snapshot(*first->trainer);
    EXPECT_EQ(*saved.state.find("samples_at_a_time"), Value(2));
  }
  const auto second = run_of(halving(6), 4);
  shortages_ = 0;
  fit_at_most(*second, 2);
  second->trainer->restore(saved);
  static_cast<void>(second->trainer->run());
  EXPECT_EQ(shortages_, 0);
  expect_equal(second->weights(), straight->weights());
  EXPECT_EQ(run_of(halving(1), 4)->trainer->content().state.find("samples_at_a_time"), nullptr);
}

// An optimizer whose steps can be recorded.
class RecordableSgd final : public Optimizer {
 public:
  explicit RecordableSgd(std::vector<ParameterGroup> groups)
      : Optimizer(std::move(groups), {0.05}) {}
  void step() override {
    for (const at::Tensor& parameter : groups().front().parameters) {
      if (parameter.grad().defined()) parameter.sub_(parameter.grad() * 0.05);
    }
  }
  bool capturable() const override { return true; }
  std::map<std::string, at::Tensor> state_dict() const override { return {}; }
  void load_state_dict(const std::map<std::string, at::Tensor>&) override {}
};

class RecordedMemoryTest : public TrainerMemoryTest {
 protected:
  // Trains with and without recordings; batches of 4 do not fit from the one after `first` on.
  void expect_same_when_memory_runs_out(const TrainerOptions& options, int first, int replays) {
    FakeRecorder recorder;
    std::vector<std::vector<at::Tensor>> weights;
    for (GraphRecorder* used :
         {static_cast<GraphRecorder*>(nullptr), static_cast<GraphRecorder*>(&recorder)}) {
      calls_ = shortages_ = 0;
      CapturedLog log;
      const auto run = run_of(options, 4);
      fit_at_most(*run, 2, Where::kForward, first);
      RecordableSgd optimizer(run->model->optimizer_parameters(Config(Value::Table{})));
      Trainer trainer(TrainerParts{*run->model,
                                   optimizer,
                                   nullptr,
                                   run->batches(),
                                   {},
                                   c10::Device(c10::kCPU),
                                   nullptr,
                                   used},
                      options, TrainerState());
      static_cast<void>(trainer.run());
      weights.push_back(run->weights());
      EXPECT_EQ(shortages_, used == nullptr ? 1 : 2);  // once more as a whole
      EXPECT_EQ(trainer.graph_replays(), used == nullptr ? 0 : replays);
      EXPECT_EQ(trainer.content().state.find("samples_at_a_time")->as_integer(), 2);
      const auto told = testing::Contains(HasSubstr("is not recorded: memory ran out"));
      if (used != nullptr) {
        EXPECT_THAT(log.lines(), told);
      }
    }
    expect_equal(weights[0], weights[1]);
  }
};

// Updates 1 and 2 of each three have 4 samples, and the sixth of these, update 8, does not fit: it
// is a replay, as three updates of a shape and its recording come before; 5 and 7 are replayed.
TEST_F(RecordedMemoryTest, RecordedUpdatesGiveTheirMemoryUpBeforeBatchesAreHalved) {
  expect_same_when_memory_runs_out(halving(9), /*first=*/5, /*replays=*/2);
}

// Each second update has 4 + 4 samples, and the second batch of update 9 does not fit; 5, 7 and 8
// are replayed.
TEST_F(RecordedMemoryTest, RecordedMicroBatchesGiveTheirMemoryUpBeforeBatchesAreHalved) {
  expect_same_when_memory_runs_out(halving(10, 2), /*first=*/9, /*replays=*/3);
}

TEST_F(TrainerMemoryTest, EachHalvingIsToldOnce) {
  CapturedLog log;
  const auto run = run_of(halving(3), 4);
  fit_at_most(*run, 2);
  static_cast<void>(run->trainer->run());
  const std::vector<std::string> warnings = log.warnings();
  ASSERT_THAT(warnings, SizeIs(1));
  EXPECT_THAT(warnings[0], HasSubstr("ran out of memory at update 1: std::bad_alloc; "));
  EXPECT_THAT(warnings[0],
              HasSubstr("; this update is done again, and training goes on, with 2 samples at a "
                        "time and the same updates, as training.on_out_of_memory = \"halve\""));
}

TEST_F(TrainerMemoryTest, ASampleThatIsTooLargeAloneStopsTheRun) {
  const auto run = run_of(halving(3), 4);
  fit_at_most(*run, 0);
  EXPECT_THROW(static_cast<void>(run->trainer->run()), OutOfMemory);
  EXPECT_EQ(shortages_, 3);  // of 4, 2 and 1
}

TEST_F(TrainerMemoryTest, WithoutThatOptionTheFirstOneStopsTheRun) {
  const auto run = run_of(options_for(3), 4);
  fit_at_most(*run, 2);
  EXPECT_THROW(static_cast<void>(run->trainer->run()), OutOfMemory);
  EXPECT_EQ(shortages_, 1);
  EXPECT_THAT(run->hooks.back(), HasSubstr("exception: "));
}

}  // namespace
}  // namespace pergola::host
