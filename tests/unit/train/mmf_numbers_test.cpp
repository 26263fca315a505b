// SPDX-License-Identifier: BSD-3-Clause
// The numbers of MMF's own trainer tests (MMF.md §12.4): a Linear(1, 1) that is trained on the
// numbers 0, 1, 2, ... unshuffled, with MMF's loss, MSE(-output, number).
#include "host/data/loader.h"
#include "host/model/builder.h"
#include "host/support/signals.h"
#include "host/train/evaluation.h"
#include "host/train/trainer.h"
#include "unit/train/boring.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <numeric>

namespace pergola::host {
namespace {

class NumbersDataset final : public Dataset {
 public:
  explicit NumbersDataset(std::int64_t size) : size_(size) {}
  std::int64_t size() const override { return size_; }
  Sample get(std::int64_t index, Rng& /*rng*/) const override {
    Sample sample;
    sample.set("x", torch::full({1}, static_cast<float>(index)));
    return sample;
  }

 private:
  std::int64_t size_;
};

class SimpleModel final : public BaseModel {
 public:
  explicit SimpleModel() : BaseModel(Config(Value::Table{})) {}
  void build() override {
    linear_ = register_module("linear", torch::nn::Linear(1, 1));
    const at::NoGradGuard no_grad;
    linear_->weight.fill_(0.22939014F);  // what seed 2 draws
    linear_->bias.fill_(-0.23797429F);
  }
  bool makes_losses() const override { return true; }
  ModelOutput forward(const SampleList& batch) override {
    ++forwards;
    const at::Tensor x = batch.tensor("x");
    ModelOutput output;
    output.scores = linear_->forward(x);
    if (!first_score.defined()) first_score = output.scores.detach().flatten()[0];
    const at::Tensor loss = at::mse_loss(-output.scores, x);
    losses.push_back(loss.item<double>());
    output.losses = LossMap{{batch.dataset_type() + "/numbers/loss", loss}};
    return output;
  }

  int forwards = 0;
  at::Tensor first_score;
  std::vector<double> losses;  // of each batch

 private:
  torch::nn::Linear linear_ = nullptr;
};

class NumbersRun {
 public:
  NumbersRun(std::int64_t samples, std::int64_t batch_size, const TrainerOptions& options,
             const char* optimizer = "adam_w", Value::Table params = {{"lr", 5e-5}, {"eps", 1e-8}})
      : data_(samples) {
    note_stop_signals();
    model.build();
    LoaderOptions loader;
    loader.dataset_name = "numbers";
    loader.dataset_type = "train";
    loader.batch_size = batch_size;
    batches_ = std::make_unique<DataLoader>(data_, loader);
    optimizer_ = build_optimizer(
        registry_, model, Config(Value::Table{{"type", optimizer}, {"params", std::move(params)}}));
    trainer.emplace(
        TrainerParts{model, *optimizer_, nullptr, *batches_, {}, c10::Device(c10::kCPU)}, options,
        TrainerState());
  }
  NumbersRun& run() {
    static_cast<void>(trainer->run());
    return *this;
  }
  [[nodiscard]] std::vector<at::Tensor> weights() const { return model.parameters(); }

 private:
  Registry registry_ = builtin_registry();
  NumbersDataset data_;
  std::unique_ptr<DataLoader> batches_;
  std::unique_ptr<Optimizer> optimizer_;

 public:
  SimpleModel model;
  std::optional<Trainer> trainer;
};

TrainerOptions updates(std::int64_t max_updates, std::int64_t update_frequency = 1) {
  TrainerOptions options;
  options.max_updates = max_updates;
  options.update_frequency = update_frequency;
  return options;
}

void expect_close(const NumbersRun& one, const NumbersRun& other) {
  for (std::size_t i = 0; i < one.weights().size(); ++i) {
    EXPECT_TRUE(at::allclose(one.weights()[i], other.weights()[i])) << i;
  }
}

TEST(MmfNumbersTest, EvaluationOfAHundredNumbers) {
  SimpleModel model;
  model.build();
  const NumbersDataset data(100);
  LoaderOptions options;
  options.dataset_name = "numbers";
  options.dataset_type = "val";
  options.batch_size = 1;
  DataLoader loader(data, options);
  const Registry registry = builtin_registry();
  MetricList metrics({}, registry);
  const Numbers numbers =
      evaluate({model, {&loader}, metrics, c10::Device(c10::kCPU), Step::kValidation});
  EXPECT_NEAR(std::accumulate(model.losses.begin(), model.losses.end(), 0.0), 493377.5312, 0.05);
  EXPECT_NEAR(numbers.at("val/total_loss"), 4933.775312, 5e-4);  // ours is the mean
  EXPECT_NEAR(model.first_score.item<double>(), -0.2379742, 1e-7);
}

TEST(MmfNumbersTest, FirstUpdateOfTwoBatchesOfTwo) {
  NumbersRun run(100, 2, updates(1, 2));
  run.run();
  ASSERT_EQ(run.model.losses.size(), 2U);
  // MMF divides each loss by the batches of the update before it logs it.
  EXPECT_NEAR(run.model.losses[0] / 2, 0.2599, 5e-5);
  EXPECT_NEAR(run.model.losses[1] / 2, 4.2090, 5e-5);
  EXPECT_NEAR((run.model.losses[0] + run.model.losses[1]) / 2, 4.4688, 5e-5);
}

// 20 samples in batches of 6 are 6, 6, 6, 2: groups of three and one, as 18 and 2 are.
TEST(MmfNumbersTest, GroupsOfThreeAreBatchesOfThriceTheSize) {
  NumbersRun groups(20, 6, updates(4, 3));
  NumbersRun batches(20, 18, updates(4));
  groups.run();
  batches.run();
  EXPECT_EQ(groups.trainer->state().progress.epoch, 2);
  EXPECT_EQ(batches.trainer->state().progress.epoch, 2);
  expect_close(groups, batches);
}

TEST(MmfNumbersTest, GroupsOfTwoAreBatchesOfTwiceTheSize) {
  NumbersRun groups(100, 2, updates(8, 2));
  NumbersRun batches(100, 4, updates(8));
  groups.run();
  batches.run();
  expect_close(groups, batches);
}

TEST(MmfNumbersTest, TwoUpdatesOfTwoBatchesAreFourIterations) {
  NumbersRun run(100, 2, updates(2, 2));
  run.run();
  EXPECT_EQ(run.model.forwards, 4);
  EXPECT_EQ(run.trainer->state().progress.update, 2);
}

// Of max_epochs = .04 with 100 batches an epoch; its epochs beat the updates. MMF says epoch 1: it
// counts the one in hand.
TEST(MmfNumbersTest, FourHundredthsOfAnEpochAreFourUpdates) {
  TrainingConfig training;
  training.max_updates = 2;
  training.max_epochs = 0.04;
  NumbersRun run(100, 1, updates(training.updates_to_train(updates_in_epoch(100, 1))));
  run.run();
  EXPECT_EQ(run.trainer->updates_per_epoch(), 100);
  EXPECT_EQ(run.model.forwards, 4);
  EXPECT_EQ(run.trainer->state().progress.update, 4);
  EXPECT_EQ(run.trainer->state().progress.epoch, 0);
  EXPECT_EQ(run.trainer->state().progress.batch_in_epoch, 4);
}

// MMF's meters have the mean of the last 20 validation losses. With 50 batches of two numbers a
// validation, these are those of the last 20 batches: 60 .. 99.
TEST(MmfNumbersTest, ValidationWhileTrainingHasMmfsLosses) {
  NumbersRun run(100, 2, updates(8));
  const NumbersDataset data(100);
  LoaderOptions options;
  options.dataset_name = "numbers";
  options.dataset_type = "val";
  options.batch_size = 2;
  DataLoader loader(data, options);
  std::vector<double> windows;
  const auto validate = [&] {
    const std::size_t before = run.model.losses.size();
    const Registry registry = builtin_registry();
    MetricList metrics({}, registry);
    static_cast<void>(
        evaluate({run.model, {&loader}, metrics, c10::Device(c10::kCPU), Step::kValidation}));
    EXPECT_EQ(run.model.losses.size(), before + 50);
    windows.push_back(std::accumulate(run.model.losses.end() - 20, run.model.losses.end(), 0.0) /
                      20);
    return Numbers();
  };
  // As the fixture has it, with a validation every three updates.
  class Validator final : public Callback {
   public:
    explicit Validator(std::function<Numbers()> validate) : validate_(std::move(validate)) {}
    void on_update_complete(TrainerState& state) override {
      const std::int64_t update = state.progress.update;
      if (update % 3 == 0 || update == 8) static_cast<void>(validate_());
    }

   private:
    std::function<Numbers()> validate_;
  };
  run.trainer->add_callback("validate", std::make_unique<Validator>(validate));
  run.run();
  ASSERT_EQ(windows.size(), 3U);
  EXPECT_NEAR(windows[0], 9705.2953125, 0.05);
  EXPECT_NEAR(windows[1], 9703.29765625, 0.05);
  EXPECT_NEAR(windows[2], 9701.88046875, 0.05);
}

}  // namespace
}  // namespace pergola::host
