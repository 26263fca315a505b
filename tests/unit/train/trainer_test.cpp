// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/trainer.h"

#include "host/model/builder.h"
#include "host/support/signals.h"
#include "unit/train/boring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

namespace pergola::host {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Asks for the end within an update, as early as it can after the step.
class Stopper final : public Callback {
 public:
  explicit Stopper(std::int64_t update) : update_(update) {}
  void on_update_end(TrainerState& state, const SampleList&, const ModelOutput&) override {
    if (state.progress.update == update_) state.should_stop = true;
  }

 private:
  std::int64_t update_;
};

// Writes down which hooks are called, and stops training after an update if it is asked to.
class Recorder final : public Callback {
 public:
  Recorder(std::vector<std::string>& hooks, std::int64_t stop_after)
      : hooks_(hooks), stop_after_(stop_after) {}
  void on_train_start(TrainerState&) override { hooks_.push_back("train_start"); }
  void on_update_start(TrainerState&) override { hooks_.push_back("update_start"); }
  void on_update_end(TrainerState&, const SampleList&, const ModelOutput&) override {
    hooks_.push_back("update_end");
  }
  void on_validation_start(TrainerState&) override { hooks_.push_back("validation_start"); }
  void on_validation_end(TrainerState&, const Numbers&) override {
    hooks_.push_back("validation_end");
  }
  void on_update_complete(TrainerState& state) override {
    hooks_.push_back("update_complete");
    if (state.progress.update == stop_after_) state.should_stop = true;
  }
  void on_train_end(TrainerState&) override { hooks_.push_back("train_end"); }
  void on_exception(TrainerState&, const std::string& message) noexcept override {
    hooks_.push_back("exception: " + message);
  }

 private:
  std::vector<std::string>& hooks_;
  std::int64_t stop_after_;
};

// A run over 10 samples in batches of 4 (three batches an epoch), which a test can cut in two.
class TestRun {
 public:
  explicit TestRun(const TrainerOptions& options, std::int64_t stop_after = -1,
                   std::int64_t workers = 0)
      : registry_(builtin_registry()), model(make_boring_model(registry_)), data_(10) {
    LoaderOptions loader;
    loader.dataset_name = "boring";
    loader.dataset_type = "train";
    loader.batch_size = 4;
    loader.shuffle = Shuffle::kYes;
    loader.seed = 5;
    loader.num_workers = workers;
    loader_ = std::make_unique<DataLoader>(data_, loader);
    optimizer_ = build_optimizer(
        registry_, *model,
        Config(Value::Table{{"type", "adamax"}, {"params", Value::Table{{"lr", 0.05}}}}));
    scheduler_ =
        build_scheduler(registry_, "warmup_linear", Config(Value::Table{{"num_warmup_steps", 2}}),
                        options.max_updates);
    const auto validate = [this] {
      ++validations;
      if (on_validate) on_validate();
      return Numbers{{"val/boring/accuracy", 0.5}};
    };
    trainer.emplace(TrainerParts{*model, *optimizer_, scheduler_.get(), *loader_, validate,
                                 c10::Device(c10::kCPU)},
                    options, TrainerState());
    trainer->add_callback("recorder", std::make_unique<Recorder>(hooks, stop_after));
  }

  [[nodiscard]] std::vector<at::Tensor> weights() const {
    std::vector<at::Tensor> result;
    for (const auto& [key, tensor] : state_dict(*model)) result.push_back(tensor.clone());
    return result;
  }

 private:
  Registry registry_;

 public:
  std::shared_ptr<BoringModel> model;
  int validations = 0;
  std::function<void()> on_validate;
  std::vector<std::string> hooks;

 private:
  BoringDataset data_;
  std::unique_ptr<DataLoader> loader_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Scheduler> scheduler_;

 public:
  std::optional<Trainer> trainer;
};

TrainerOptions options_for(std::int64_t max_updates, std::int64_t update_frequency = 1) {
  TrainerOptions options;
  options.max_updates = max_updates;
  options.update_frequency = update_frequency;
  options.log_interval = 3;
  return options;
}

// A copy that does not change when the run goes on.
CheckpointContent snapshot(const Trainer& trainer) {
  CheckpointContent content = trainer.content();
  for (auto& [key, tensor] : content.model) tensor = tensor.clone();
  for (auto& [key, tensor] : content.trainer) tensor = tensor.clone();
  return content;
}

void expect_equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(a[i].equal(b[i])) << i;
}

class TrainerTest : public testing::Test {
 protected:
  TrainerTest() { note_stop_signals(); }  // forgets a signal that an earlier test sent
};

TEST_F(TrainerTest, HooksComeInTheDocumentedOrder) {
  TestRun run(options_for(4));
  EXPECT_EQ(run.trainer->run(), Outcome::kFinished);
  // Three updates are an epoch, after which validation is due; the last update validates as well.
  EXPECT_THAT(
      run.hooks,
      ElementsAre("train_start", "update_start", "update_end", "update_complete", "update_start",
                  "update_end", "update_complete", "update_start", "update_end", "validation_start",
                  "validation_end", "update_complete", "update_start", "update_end",
                  "validation_start", "validation_end", "update_complete", "train_end"));
}

TEST_F(TrainerTest, ProgressCountsSamplesBatchesAndEpochs) {
  TestRun run(options_for(4));
  static_cast<void>(run.trainer->run());
  const Progress& progress = run.trainer->state().progress;
  EXPECT_EQ(progress.update, 4);
  EXPECT_EQ(progress.epoch, 1);
  EXPECT_EQ(progress.batch_in_epoch, 1);
  EXPECT_EQ(progress.samples_seen, 10 + 4);
}

TEST_F(TrainerTest, ValidationComesAtItsInterval) {
  TrainerOptions options = options_for(6);
  options.evaluation_interval = 4;
  TestRun run(options);
  static_cast<void>(run.trainer->run());
  EXPECT_EQ(run.validations, 2);  // at update 4, and at the end
}

TEST_F(TrainerTest, AnUpdateThatACallbackMakesTheLastIsLoggedAndValidated) {
  TestRun run(options_for(50));  // log lines at 3, 6, ...; validations at 3, 6, ...
  run.trainer->add_callback("stopper", std::make_unique<Stopper>(4));
  EXPECT_EQ(run.trainer->run(), Outcome::kFinished);
  EXPECT_EQ(run.trainer->state().progress.update, 4);
  EXPECT_TRUE(run.trainer->log_due());
  EXPECT_EQ(run.validations, 2);
  EXPECT_THAT(std::vector<std::string>(run.hooks.end() - 4, run.hooks.end()),
              ElementsAre("validation_start", "validation_end", "update_complete", "train_end"));
}

TEST_F(TrainerTest, EachGroupDividesByItsOwnNumberOfBatches) {
  // Scores are made constant, so that every micro-batch has the same loss and gradient: a group of
  // two batches and the shorter one at the epoch's end must both give that gradient once.
  std::vector<at::Tensor> gradients;
  for (const std::int64_t updates : {1, 2}) {  // ends after the group of two, and after that of one
    TestRun run(options_for(updates, /*update_frequency=*/2));
    run.model->on_forward = [&run](ModelOutput& output) {
      const at::Tensor bias = run.model->named_parameters()["second.bias"];
      output.losses = LossMap{{"train/boring/own", (bias * 3).sum()}};
    };
    static_cast<void>(run.trainer->run());
    gradients.push_back(run.model->named_parameters()["second.bias"].grad());
    EXPECT_EQ(run.trainer->state().progress.samples_seen, updates == 1 ? 8 : 10);
  }
  for (const at::Tensor& gradient : gradients) EXPECT_TRUE(gradient.equal(torch::full({3}, 3.0F)));
}

TEST_F(TrainerTest, StoppedAfterAnyUpdateAndResumedEndsWithTheSameWeights) {
  for (const std::int64_t frequency : {1, 2}) {
    TestRun straight(options_for(7, frequency));
    static_cast<void>(straight.trainer->run());
    for (std::int64_t stop = 1; stop < 7; ++stop) {
      CheckpointContent saved;
      {
        TestRun first(options_for(7, frequency), stop);
        static_cast<void>(first.trainer->run());
        ASSERT_EQ(first.trainer->state().progress.update, stop);
        saved = snapshot(*first.trainer);
      }
      TestRun second(options_for(7, frequency), -1, /*workers=*/2);
      second.trainer->restore(saved);
      static_cast<void>(second.trainer->run());
      expect_equal(second.weights(), straight.weights());
      EXPECT_EQ(to_string(second.trainer->content().state),
                to_string(straight.trainer->content().state))
          << "stopped after " << stop;
    }
  }
}

TEST_F(TrainerTest, AStopSignalEndsAfterTheUpdateAndIsReported) {
  TestRun run(options_for(50));
  std::int64_t calls = 0;
  run.model->on_forward = [&](ModelOutput&) {
    if (++calls == 3) std::raise(SIGINT);
  };
  EXPECT_EQ(run.trainer->run(), Outcome::kInterrupted);
  EXPECT_EQ(run.trainer->state().progress.update, 3);
  EXPECT_EQ(run.hooks.back(), "train_end");
}

TEST_F(TrainerTest, AValidationThatASignalCutsShortIsMadeUpForFirstOfAll) {
  TestRun straight(options_for(4));
  static_cast<void>(straight.trainer->run());

  CheckpointContent saved;
  {
    TestRun first(options_for(4));
    first.on_validate = [] {
      static_cast<void>(std::raise(SIGINT));
      stop_if_asked();
    };
    EXPECT_EQ(first.trainer->run(), Outcome::kInterrupted);
    EXPECT_EQ(first.trainer->state().progress.update, 3);
    EXPECT_THAT(first.hooks, testing::Not(testing::Contains("validation_end")));
    saved = snapshot(*first.trainer);
    EXPECT_EQ(*saved.state.find("progress.validation_pending"), Value(true));
  }
  note_stop_signals();
  TestRun second(options_for(4));
  second.trainer->restore(saved);
  EXPECT_EQ(second.trainer->run(), Outcome::kFinished);
  EXPECT_THAT(second.hooks,
              ElementsAre("train_start", "validation_start", "validation_end", "update_complete",
                          "update_start", "update_end", "validation_start", "validation_end",
                          "update_complete", "train_end"));
  expect_equal(second.weights(), straight.weights());
  EXPECT_EQ(to_string(second.trainer->content().state),
            to_string(straight.trainer->content().state));
}

TEST_F(TrainerTest, NanNamesTheLossAndReachesTheCallbacks) {
  TestRun run(options_for(5));
  run.model->on_forward = [](ModelOutput& output) { output.scores = output.scores * std::nan(""); };
  try {
    static_cast<void>(run.trainer->run());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNan);
    EXPECT_THAT(error.what(), HasSubstr("not a finite number at update 1: train/boring/logit_bce"));
  }
  EXPECT_THAT(run.hooks.back(), HasSubstr("exception: not a finite number"));
}

TEST_F(TrainerTest, NanIsPassedOverWhenThatIsAllowed) {
  TrainerOptions options = options_for(2);
  options.exit_on_nan_losses = false;
  TestRun run(options);
  run.model->on_forward = [](ModelOutput& output) { output.scores = output.scores * std::nan(""); };
  EXPECT_EQ(run.trainer->run(), Outcome::kFinished);
}

TEST_F(TrainerTest, AModelThatThrowsIsNamedWithTheUpdate) {
  TestRun run(options_for(5));
  run.model->on_forward = [](ModelOutput&) { throw std::runtime_error("broken\nstack"); };
  try {
    static_cast<void>(run.trainer->run());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kPlugin);
    EXPECT_STREQ(error.what(),
                 "training_step() at update 1 failed: broken; this is a matter for the "
                 "plugin's author");
  }
}

TEST_F(TrainerTest, NothingToTrainOnIsAConfigError) {
  TestRun run(options_for(5));
  run.model->on_forward = [](ModelOutput& output) { output.losses = LossMap{}; };
  try {
    static_cast<void>(run.trainer->run());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_THAT(error.what(), HasSubstr("there is nothing to train on"));
  }
}

TEST_F(TrainerTest, StateOfAnotherModelIsRefused) {
  TestRun run(options_for(2));
  CheckpointContent content = snapshot(*run.trainer);
  content.model.pop_back();
  EXPECT_THROW(run.trainer->restore(content), Error);
}

TEST_F(TrainerTest, ClippingBoundsTheStep) {
  TrainerOptions options = options_for(1);
  options.max_grad_l2_norm = 1e-3;
  TestRun run(options);
  static_cast<void>(run.trainer->run());
  double squares = 0;
  for (const at::Tensor& parameter : run.model->parameters()) {
    squares += parameter.grad().pow(2).sum().item<double>();
  }
  EXPECT_NEAR(std::sqrt(squares), 1e-3, 1e-5);
}

}  // namespace
}  // namespace pergola::host
