// SPDX-License-Identifier: BSD-3-Clause
// What MMF's own trainer tests train (MMF.md §12.4): a Linear(1, 1), on the numbers 0, 1, 2, ...
// unshuffled, with MMF's loss, MSE(-output, number).
#pragma once

#include "host/data/loader.h"
#include "host/model/builder.h"
#include "host/support/signals.h"
#include "host/train/trainer.h"
#include "unit/train/boring.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {

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
  // What seed 2 draws.
  static constexpr float kWeight = 0.22939014F;
  static constexpr float kBias = -0.23797429F;

  explicit SimpleModel() : BaseModel(Config(Value::Table{})) {}
  void build() override {
    linear_ = register_module("linear", torch::nn::Linear(1, 1));
    const at::NoGradGuard no_grad;
    linear_->weight.fill_(kWeight);
    linear_->bias.fill_(kBias);
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

// Of a run; without a type the learning rate stays.
struct NumbersSchedule {
  std::string type;
  Value::Table params;
};

class NumbersRun {
 public:
  NumbersRun(std::int64_t samples, std::int64_t batch_size, const TrainerOptions& options,
             const char* optimizer = "adam_w", Value::Table params = {{"lr", 5e-5}, {"eps", 1e-8}},
             const NumbersSchedule& schedule = {})
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
    if (!schedule.type.empty()) {
      scheduler_ = build_scheduler(registry_, schedule.type, Config(schedule.params),
                                   {.updates = options.max_updates});
    }
    trainer.emplace(
        TrainerParts{model, *optimizer_, scheduler_.get(), *batches_, {}, c10::Device(c10::kCPU)},
        options, TrainerState());
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
  std::unique_ptr<Scheduler> scheduler_;

 public:
  SimpleModel model;
  std::optional<Trainer> trainer;
};

inline TrainerOptions updates(std::int64_t max_updates, std::int64_t update_frequency = 1) {
  TrainerOptions options;
  options.max_updates = max_updates;
  options.update_frequency = update_frequency;
  return options;
}

}  // namespace pergola::host
