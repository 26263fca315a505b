// SPDX-License-Identifier: BSD-3-Clause
// Which hooks of a model the loops call, for what, and in which order: a model that overrides them
// all and writes down every call.
#include "host/data/loader.h"
#include "host/model/builder.h"
#include "host/support/signals.h"
#include "host/train/evaluation.h"
#include "host/train/trainer.h"
#include "pergola/log.h"
#include "unit/train/boring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

// One linear layer [2] -> [3].
class RecordingModel final : public BaseModel {
 public:
  explicit RecordingModel(const Config& config) : BaseModel(config) {}
  void build() override { linear_ = register_module("linear", torch::nn::Linear(2, 3)); }

  ModelOutput forward(const SampleList& batch) override {
    ModelOutput output{.scores = linear_->forward(batch.tensor("x"))};
    if (has_own_losses) {
      output.losses = LossMap{{batch.dataset_type() + "/boring/own", output.scores.square().sum()}};
    }
    return output;
  }

  ModelOutput training_step(const SampleList& batch, std::int64_t batch_idx) override {
    return step("training_step", batch, batch_idx);
  }
  ModelOutput validation_step(const SampleList& batch, std::int64_t batch_idx) override {
    return step("validation_step", batch, batch_idx);
  }
  ModelOutput test_step(const SampleList& batch, std::int64_t batch_idx) override {
    return step("test_step", batch, batch_idx);
  }

  void on_save_checkpoint(Value& extras) const override { extras["temperature"] = temperature; }
  void on_load_checkpoint(const Value& extras) override {
    calls.push_back(concat("on_load_checkpoint ", to_string(extras)));
    bias_at_load = linear_->bias.detach().clone();
  }

  bool has_own_losses = false;
  double temperature = 1.0;
  std::vector<std::string> calls;
  std::vector<std::string> loss_keys;  // of the last step
  at::Tensor bias_at_load;

 private:
  // "training_step train 0" and whether the model is in training mode.
  ModelOutput step(const char* name, const SampleList& batch, std::int64_t batch_idx) {
    calls.push_back(concat(name, " ", batch.dataset_type(), " ", batch_idx,
                           is_training() ? " training" : " evaluation"));
    ModelOutput output = (*this)(batch);
    loss_keys.clear();
    for (const auto& [key, loss] : *output.losses) loss_keys.push_back(key);
    return output;
  }

  torch::nn::Linear linear_ = nullptr;
};

// A model over 5 samples in batches of 4: two batches an epoch.
class LifecycleTest : public testing::Test {
 protected:
  LifecycleTest() {
    note_stop_signals();
    model_ = make_model();
  }

  std::shared_ptr<RecordingModel> make_model() {
    auto model = std::make_shared<RecordingModel>(
        Config(Value::Table{{"losses", Value::Array{"logit_bce"}}}));
    model->build();
    model->init_losses(registry_);
    return model;
  }

  std::unique_ptr<DataLoader> loader(const char* split) {
    LoaderOptions options;
    options.dataset_name = "boring";
    options.dataset_type = split;
    options.batch_size = 4;
    return std::make_unique<DataLoader>(data_, options);
  }

  Numbers evaluate_split(const char* split, Step step) {
    const std::unique_ptr<DataLoader> batches = loader(split);
    MetricList metrics({}, registry_);
    return evaluate({*model_, {batches.get()}, metrics, c10::Device(c10::kCPU), step});
  }

  // Hands a trainer of `model_` to `use`; its validation is an evaluation of the val split.
  template <class Use>
  void with_trainer(std::int64_t max_updates, Use use) {
    const Config adam(Value::Table{{"type", "adam"}, {"params", Value::Table{{"lr", 0.05}}}});
    const std::unique_ptr<Optimizer> optimizer = build_optimizer(registry_, *model_, adam);
    const std::unique_ptr<DataLoader> batches = loader("train");
    TrainerOptions options;
    options.max_updates = max_updates;
    const auto validate = [this] { return evaluate_split("val", Step::kValidation); };
    Trainer trainer({*model_, *optimizer, nullptr, *batches, validate, c10::Device(c10::kCPU)},
                    options, TrainerState());
    use(trainer);
  }

  void train(std::int64_t max_updates) {
    with_trainer(max_updates, [](Trainer& trainer) { static_cast<void>(trainer.run()); });
  }

  Registry registry_ = builtin_registry();
  BoringDataset data_{5};
  std::shared_ptr<RecordingModel> model_;
};

TEST_F(LifecycleTest, TrainingIsTrainingStepAndItsValidationIsValidationStep) {
  train(3);  // one epoch of two batches, its validation, one more batch, the last validation
  EXPECT_THAT(model_->calls,
              ElementsAre("training_step train 0 training", "training_step train 1 training",
                          "validation_step val 0 evaluation", "validation_step val 1 evaluation",
                          "training_step train 0 training", "validation_step val 0 evaluation",
                          "validation_step val 1 evaluation"));
}

TEST_F(LifecycleTest, ATestSplitIsTestStep) {
  static_cast<void>(evaluate_split("test", Step::kTest));
  EXPECT_THAT(model_->calls,
              ElementsAre("test_step test 0 evaluation", "test_step test 1 evaluation"));
}

TEST_F(LifecycleTest, WhatAStepReturnsIsWhatIsMeasured) {
  model_->has_own_losses = true;
  EXPECT_THAT(evaluate_split("val", Step::kValidation),
              ElementsAre(Pair("val/boring/own", testing::_), Pair("val/total_loss", testing::_)));
}

TEST_F(LifecycleTest, ExtrasComeBackAfterTheWeights) {
  model_->temperature = 0.25;
  CheckpointContent saved;
  with_trainer(2, [&](Trainer& trainer) {
    static_cast<void>(trainer.run());
    saved = trainer.content();
  });
  EXPECT_EQ(to_string(*saved.state.find("extras")), "{temperature = 0.25}");
  const at::Tensor bias = model_->named_parameters()["linear.bias"];

  model_ = make_model();
  with_trainer(2, [&](Trainer& trainer) { trainer.restore(saved); });
  EXPECT_THAT(model_->calls, ElementsAre("on_load_checkpoint {temperature = 0.25}"));
  EXPECT_TRUE(model_->bias_at_load.equal(bias));
}

// The lines that log() was called with, while it lives.
class LogLines {
 public:
  LogLines() {
    lines().clear();
    set_log_sink([](LogLevel /*level*/, const std::string& line) { lines().push_back(line); });
  }
  LogLines(const LogLines&) = delete;
  LogLines& operator=(const LogLines&) = delete;
  ~LogLines() { set_log_sink(nullptr); }
  static std::vector<std::string>& lines() {
    static std::vector<std::string> all;
    return all;
  }
};

TEST_F(LifecycleTest, OwnLossesTakeTheConfigsPlaceAndThatIsToldOnce) {
  const LogLines log;
  model_->has_own_losses = true;
  train(3);
  EXPECT_THAT(model_->loss_keys, ElementsAre("val/boring/own"));
  EXPECT_THAT(LogLines::lines(),
              ElementsAre("[model] the model returns its own losses; those of the config are not "
                          "used"));
}

TEST_F(LifecycleTest, WithoutOwnLossesTheConfigsAreUsedAndNothingIsTold) {
  const LogLines log;
  train(1);
  EXPECT_THAT(model_->loss_keys, ElementsAre("val/boring/logit_bce"));
  EXPECT_THAT(LogLines::lines(), IsEmpty());
}

}  // namespace
}  // namespace pergola::host
