// SPDX-License-Identifier: BSD-3-Clause
// Trainings with and without a recorder that needs no GPU, side by side.
#pragma once

#include "host/data/loader.h"
#include "host/model/optimizers/device_skip.h"
#include "host/train/trainer.h"
#include "host/train/weight_average.h"
#include "unit/callbacks/captured_log.h"
#include "unit/train/fake_recorder.h"
#include "unit/train/test_run.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {

// Momentum with a schedule, whose step can be recorded: w -= lr (m = 0.9 m + scale g).
class Momentum : public Optimizer {
 public:
  explicit Momentum(std::vector<ParameterGroup> groups) : Optimizer(std::move(groups), {0.05}) {}
  void step() override {
    for (const at::Tensor& parameter : groups().front().parameters) {
      if (!parameter.grad().defined()) continue;
      at::Tensor& average = averages_[parameter.unsafeGetTensorImpl()];
      if (!average.defined()) average = at::zeros_like(parameter);
      const at::Tensor gradient = scale_.defined() ? parameter.grad() * scale_ : parameter.grad();
      average.mul_(0.9).add_(gradient);
      parameter.sub_(average * lr());
    }
    scale_.reset();
  }
  bool scale_gradients(const at::Tensor& scale) override {
    scale_ = scale;
    return true;
  }
  bool capturable() const override { return can_be_recorded; }
  void before_replay() override { ++replays; }
  std::map<std::string, at::Tensor> state_dict() const override {
    std::map<std::string, at::Tensor> state;
    for (std::size_t i = 0; i < groups().front().parameters.size(); ++i) {
      const auto found = averages_.find(groups().front().parameters[i].unsafeGetTensorImpl());
      if (found != averages_.end()) state[groups().front().names[i] + "/average"] = found->second;
    }
    return state;
  }
  void load_state_dict(const std::map<std::string, at::Tensor>& state) override {
    for (std::size_t i = 0; i < groups().front().parameters.size(); ++i) {
      const auto found = state.find(groups().front().names[i] + "/average");
      if (found == state.end()) continue;
      averages_[groups().front().parameters[i].unsafeGetTensorImpl()] = found->second.clone();
    }
  }

  bool can_be_recorded = true;
  int replays = 0;

 private:
  std::map<const void*, at::Tensor> averages_;
  at::Tensor scale_;
};

// One whose step the device can leave out.
class SkippingMomentum final : public Momentum, public DeviceSkip {
 public:
  using Momentum::Momentum;
  void step() override {
    if (std::exchange(skip_, at::zeros({})).item<float>() == 0) Momentum::step();
  }
  bool skip_where(const at::Tensor& flag) override {
    skip_ = flag;
    ++skips;
    return true;
  }

  int skips = 0;  // that were asked for

 private:
  at::Tensor skip_ = at::zeros({});
};

// Writes down hooks, and acts in some.
class Spy final : public Callback {
 public:
  void on_batch_start(TrainerState&, const SampleList&) override { hooks.push_back("batch_start"); }
  void on_batch_end(TrainerState& state, const SampleList&, const ModelOutput& output) override {
    hooks.push_back("batch_end");
    losses.push_back(total_loss(*output.losses).item<double>());
    if (at_batch_end) at_batch_end(state);
  }
  void on_step_start(TrainerState& state) override {
    hooks.push_back("step_start");
    if (at_step_start) at_step_start(state);
  }
  void on_update_end(TrainerState& state, const SampleList&, const ModelOutput& output) override {
    hooks.push_back("update_end");
    scores.push_back(output.scores.detach().clone());
    if (at_update_end) at_update_end(state);
  }

  std::function<void(TrainerState&)> at_batch_end;
  std::function<void(TrainerState&)> at_step_start;
  std::function<void(TrainerState&)> at_update_end;
  std::vector<std::string> hooks;
  std::vector<double> losses;
  std::vector<at::Tensor> scores;
};

// Ten samples in batches of 4, 4 and 2: two shapes, in an order that is shuffled. A model with
// dropout.
struct GraphRun {
  explicit GraphRun(TrainerOptions options, FakeRecorder* recorder, bool averages = false,
                    std::int64_t samples = 10)
      : registry(builtin_registry()), model(make_boring_model(registry)), data(samples) {
    LoaderOptions loader;
    loader.dataset_name = "boring";
    loader.dataset_type = "train";
    loader.batch_size = 4;
    loader.shuffle = Shuffle::kYes;
    loader.seed = 5;
    loader.num_workers = 0;
    batches = std::make_unique<DataLoader>(data, loader);
    optimizer = make_momentum(options);
    scheduler =
        build_scheduler(registry, "warmup_linear", Config(Value::Table{{"num_warmup_steps", 2}}),
                        {options.max_updates, 1});
    if (averages) average.emplace(*model, EmaConfig{true, 0.5, 0, 1});
    const auto validate = [this] {
      if (average) {
        const auto use = average->use();
        return Numbers{{"val/weight", model->parameters().front().sum().item<double>()}};
      }
      return Numbers{};
    };
    trainer.emplace(TrainerParts{*model, *optimizer, scheduler.get(), *batches, validate,
                                 c10::Device(c10::kCPU), average ? &*average : nullptr, recorder},
                    options, TrainerState());
    auto callback = std::make_unique<Spy>();
    spy = callback.get();
    trainer->add_callback("spy", std::move(callback));
  }

  [[nodiscard]] std::unique_ptr<Momentum> make_momentum(const TrainerOptions& options) const {
    const auto groups = model->optimizer_parameters(Config(Value::Table{}));
    const bool skips = options.precision == Precision::kFp16 && !options.steps_may_be_skipped;
    if (skips) return std::make_unique<SkippingMomentum>(groups);
    return std::make_unique<Momentum>(groups);
  }

  // To the end; the weights then.
  std::vector<at::Tensor> train() {
    static_cast<void>(trainer->run());
    std::vector<at::Tensor> weights;
    for (const auto& [key, tensor] : state_dict(*model)) weights.push_back(tensor.clone());
    return weights;
  }

  Registry registry;
  std::shared_ptr<BoringModel> model;
  BoringDataset data;
  std::unique_ptr<DataLoader> batches;
  std::unique_ptr<Momentum> optimizer;
  std::unique_ptr<Scheduler> scheduler;
  std::optional<WeightAverage> average;
  std::optional<Trainer> trainer;
  Spy* spy = nullptr;
};

class RecordedStepTest : public TrainerTest {
 protected:
  using Change = std::function<void(GraphRun&)>;
  // Trains with and without a recorder; all that can be seen of the two is the same.
  void expect_same(const TrainerOptions& options, const Change& change = {},
                   bool averages = false) {
    GraphRun eager(options, nullptr, averages, samples_);
    GraphRun recorded(options, &recorder_, averages, samples_);
    std::vector<at::Tensor> weights[2];
    for (GraphRun* run : {&eager, &recorded}) {
      if (change) change(*run);
      torch::manual_seed(3);
      weights[run == &recorded] = run->train();
    }
    expect_equal(weights[0], weights[1]);
    EXPECT_EQ(eager.spy->hooks, recorded.spy->hooks);
    EXPECT_EQ(eager.spy->losses, recorded.spy->losses);
    expect_equal(eager.spy->scores, recorded.spy->scores);
    EXPECT_EQ(to_string(eager.trainer->meter().state_dict()),
              to_string(recorded.trainer->meter().state_dict()));
    EXPECT_EQ(state_of(eager), state_of(recorded));
    EXPECT_EQ(eager.trainer->graph_replays(), 0);
    replays_ = recorded.trainer->graph_replays();
    before_replays_ = recorded.optimizer->replays;
  }

  // What a checkpoint holds beside tensors, but for the time.
  static std::string state_of(const GraphRun& run) {
    auto state = run.trainer->content().state;
    state["seconds"] = 0;
    return to_string(state);
  }

  // Why models were not recorded, as the log has it.
  static std::vector<std::string> reasons(CapturedLog& log) {
    const std::string begin = "[graph] model '' is not recorded: ";
    const std::string end = "; training goes on without CUDA graphs";
    std::vector<std::string> reasons;
    for (const std::string& line : log.lines()) {
      if (!line.starts_with(begin) || !line.ends_with(end)) continue;
      reasons.push_back(line.substr(begin.size(), line.size() - begin.size() - end.size()));
    }
    return reasons;
  }

  FakeRecorder recorder_;
  std::int64_t samples_ = 10;
  std::int64_t replays_ = 0;
  int before_replays_ = 0;
};

}  // namespace pergola::host
