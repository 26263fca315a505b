// SPDX-License-Identifier: BSD-3-Clause
// A small run of the trainer that a test can cut in two, and look into.
#pragma once

#include "host/data/loader.h"
#include "host/model/builder.h"
#include "host/support/signals.h"
#include "host/train/trainer.h"
#include "unit/train/boring.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

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

// A schedule of a run, by updates or by epochs.
struct TestSchedule {
  std::string type = "warmup_linear";
  Value::Table params = {{"num_warmup_steps", 2}};
  std::int64_t updates_per_step = 1;
};

// A run over 10 samples in batches of 4 (three batches an epoch), which a test can cut in two.
class TestRun {
 public:
  explicit TestRun(const TrainerOptions& options, std::int64_t stop_after = -1,
                   std::int64_t workers = 0, const TestSchedule& schedule = {},
                   std::int64_t batch_size = 4)
      : registry_(builtin_registry()), model(make_boring_model(registry_)), data_(10) {
    LoaderOptions loader;
    loader.dataset_name = "boring";
    loader.dataset_type = "train";
    loader.batch_size = batch_size;
    loader.shuffle = Shuffle::kYes;
    loader.seed = 5;
    loader.num_workers = workers;
    loader_ = std::make_unique<DataLoader>(data_, loader);
    optimizer_ = build_optimizer(
        registry_, *model,
        Config(Value::Table{{"type", "adamax"}, {"params", Value::Table{{"lr", 0.05}}}}));
    scheduler_ = build_scheduler(registry_, schedule.type, Config(schedule.params),
                                 {options.max_updates, schedule.updates_per_step});
    const auto validate = [this] {
      ++validations;
      if (on_validate) on_validate();
      Numbers numbers = {{"val/boring/accuracy", accuracy}};
      if (validation_loss) numbers["val/total_loss"] = *validation_loss;
      return numbers;
    };
    trainer.emplace(TrainerParts{*model, *optimizer_, scheduler_.get(), *loader_, validate,
                                 c10::Device(c10::kCPU)},
                    options, TrainerState());
    trainer->add_callback("recorder", std::make_unique<Recorder>(hooks, stop_after));
  }

  [[nodiscard]] BatchSource& batches() { return *loader_; }
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
  double accuracy = 0.5;  // what a validation says
  std::optional<double> validation_loss;
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

inline TrainerOptions options_for(std::int64_t max_updates, std::int64_t update_frequency = 1) {
  TrainerOptions options;
  options.max_updates = max_updates;
  options.update_frequency = update_frequency;
  options.log_interval = 3;
  return options;
}

// A copy that does not change when the run goes on.
inline CheckpointContent snapshot(const Trainer& trainer) {
  CheckpointContent content = trainer.content();
  for (auto& [key, tensor] : content.model) tensor = tensor.clone();
  for (auto& [key, tensor] : content.trainer) tensor = tensor.clone();
  return content;
}

inline void expect_equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(a[i].equal(b[i])) << i;
}

class TrainerTest : public testing::Test {
 protected:
  TrainerTest() { note_stop_signals(); }  // forgets a signal that an earlier test sent
};

}  // namespace pergola::host
