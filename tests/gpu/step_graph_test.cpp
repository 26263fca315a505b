// SPDX-License-Identifier: BSD-3-Clause
// Recorded work on a GPU: the same numbers as without it, and what is left after a recording that
// failed.
#include "host/device/step_graph.h"

#include "gpu/gpu_fixture.h"
#include "host/data/batch_source.h"
#include "host/device/on_stream.h"
#include "host/model/builder.h"
#include "host/train/trainer.h"
#include "unit/train/boring.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/types.h>

#include <gmock/gmock.h>

#include <optional>

namespace pergola::host {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

class StepGraphTest : public OnGpu<> {
 protected:
  void SetUp() override {
    OnGpu::SetUp();
    if (IsSkipped()) return;
    std::string problem;
    recorder_ = make_graph_recorder(device_, problem);
    if (!recorder_) GTEST_SKIP() << problem;
    stream_.emplace(device_);
    torch::manual_seed(5);
  }
  [[nodiscard]] at::Tensor random(at::IntArrayRef sizes) const {
    return at::randn(sizes, at::TensorOptions(device_));
  }

  std::optional<OnStream> stream_;
  std::unique_ptr<GraphRecorder> recorder_;
};

TEST_F(StepGraphTest, WorkRunsWhenItIsReplayedAndNotWhenItIsRecorded) {
  const at::Tensor x = at::ones({3}, at::TensorOptions(device_));
  const auto work = recorder_->record([&] { x.mul_(2); });
  EXPECT_EQ(x.sum().item<double>(), 3);
  work->replay();
  work->replay();
  EXPECT_EQ(x.sum().item<double>(), 12);
}

// Aligned and not, of no numbers, of one byte, of more than a block copies, of more than the least
// block; dense in another order.
TEST_F(StepGraphTest, InputsAreThoseOfTheReplay) {
  const auto all = [&](int offset) {
    std::vector<at::Tensor> tensors;
    for (const std::int64_t size : {0, 1, 5, 16384, 100'003, 10'000'001}) {
      tensors.push_back(random({size + offset}).narrow(0, offset, size));
    }
    tensors.push_back(at::randint(2, {1}, at::TensorOptions(device_).dtype(at::kBool)));
    tensors.push_back(at::randint(1000, {33}, at::TensorOptions(device_).dtype(at::kLong)));
    tensors.push_back(random({7, 9}).t());
    return tensors;
  };
  for (const int offset : {0, 1}) {
    const std::vector<at::Tensor> inputs = all(offset);
    std::vector<at::Tensor> seen;
    const auto work = recorder_->record(
        [&] {
          for (const at::Tensor& input : inputs) seen.push_back(input.clone());
        },
        inputs);
    const std::vector<at::Tensor> one = all(0);
    const std::vector<at::Tensor> other = all(1);
    for (const auto* from : {&one, &other, &one}) {
      work->replay(*from);
      for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_TRUE(seen[i].equal((*from)[i])) << i;
    }
    inputs[2].fill_(3);
    work->replay();  // what is there
    for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_TRUE(seen[i].equal(inputs[i])) << i;
    EXPECT_TRUE(seen[2].eq(3).all().item<bool>());
    EXPECT_TRUE(seen[3].equal(one[3]));
  }
}

// What a replay that is still to come copies is what it was given, and not what the next was given.
TEST_F(StepGraphTest, ManyReplaysOfOtherInputsMayBeUnderWay) {
  const at::Tensor input = random({4096});
  const at::Tensor sum = at::zeros_like(input);
  at::Tensor busy = random({2048, 2048});
  const auto work = recorder_->record([&] { sum.add_(input).mul_(0.5); }, {input});
  std::vector<at::Tensor> batches;
  for (int i = 0; i < 100; ++i) batches.push_back(random({4096}));
  at::Tensor expected = at::zeros_like(input);
  for (const at::Tensor& batch : batches) expected = expected.add(batch).mul_(0.5);
  for (int i = 0; i < 20; ++i) busy = busy.mm(busy).clamp_max(1);
  for (const at::Tensor& batch : batches) work->replay({batch});
  EXPECT_TRUE(sum.equal(expected));
}

TEST_F(StepGraphTest, ManyInputsAreCopiedAndTooManyAreRefused) {
  std::vector<at::Tensor> inputs;  // more than few
  std::vector<at::Tensor> batch;
  for (int i = 0; i < 40; ++i) {
    inputs.push_back(random({3}));
    batch.push_back(at::full_like(inputs.back(), i));
  }
  at::Tensor y;
  const auto work = recorder_->record([&] { y = at::stack(inputs).select(1, 2) * 2; }, inputs);
  work->replay(batch);
  EXPECT_TRUE(y.equal(at::arange(40, y.options()) * 2));
  EXPECT_THAT([&] { static_cast<void>(recorder_->record([] {}, std::vector<at::Tensor>(897, y))); },
              ThrowsMessage<Error>(HasSubstr("it reads 897 tensors of a batch")));
}

TEST_F(StepGraphTest, ReplaysDrawTheRandomNumbersThatTheWorkWouldDraw) {
  const at::Tensor x = at::ones({1000}, at::TensorOptions(device_));
  at::Tensor y;
  const auto draw = [&] { y = at::dropout(x, 0.5, true) + at::dropout(x, 0.1, true); };
  torch::manual_seed(7);
  std::vector<at::Tensor> expected;
  for (int i = 0; i < 4; ++i) {
    draw();
    expected.push_back(y.clone());
  }
  torch::manual_seed(7);
  draw();  // the first one is not recorded
  EXPECT_TRUE(y.equal(expected[0]));
  const auto work = recorder_->record(draw);
  for (int i = 1; i < 4; ++i) {
    work->replay();
    EXPECT_TRUE(y.equal(expected[i])) << i;
  }
  EXPECT_FALSE(expected[2].equal(expected[3]));
}

TEST_F(StepGraphTest, AFailedRecordingLeavesTheDeviceAndItsRandomNumbersAsTheyWere) {
  const at::Tensor x = random({100});
  torch::manual_seed(7);
  const at::Tensor expected = at::rand({50}, x.options());
  torch::manual_seed(7);
  // What waits for the device, and what fails for a reason of its own.
  EXPECT_THAT(
      [&] {
        static_cast<void>(
            recorder_->record([&] { (at::dropout(x, 0.5, true) * x.sum().item<double>()).sum(); }));
      },
      ThrowsMessage<std::exception>(HasSubstr("captur")));
  EXPECT_THAT(
      [&] {
        static_cast<void>(recorder_->record([&] {
          at::dropout(x, 0.5, true);
          throw std::runtime_error("of the model");
        }));
      },
      ThrowsMessage<std::runtime_error>("of the model"));
  EXPECT_TRUE(at::rand({50}, x.options()).equal(expected));
  at::Tensor y;
  const auto work = recorder_->record([&] { y = x * 3; });
  work->replay();
  EXPECT_TRUE(y.equal(x * 3));
}

TEST_F(StepGraphTest, CopiesFromAndToTheCpuAreRefused) {
  const at::Tensor x = random({100});
  at::Tensor y;
  const at::Tensor pinned = at::ones({100}).pin_memory();
  EXPECT_THAT(
      [&] {
        static_cast<void>(
            recorder_->record([&] { y = x + pinned.to(device_, /*non_blocking=*/true); }));
      },
      ThrowsMessage<std::exception>(HasSubstr("it copies a tensor from the CPU")));
  EXPECT_THAT(
      [&] {
        static_cast<void>(recorder_->record([&] { pinned.copy_(x * 2, /*non_blocking=*/true); }));
      },
      ThrowsMessage<std::exception>(HasSubstr("it copies a tensor to the CPU")));
}

TEST_F(StepGraphTest, RecordingsShareMemoryThatNobodyHolds) {
  const at::Tensor x = random({1 << 20});
  at::Tensor first;
  const auto one = recorder_->record([&] { first = x * 2; });
  first = recorder_->without_hold(first);
  at::Tensor second;
  const auto other = recorder_->record([&] { second = x * 3; });
  EXPECT_EQ(first.data_ptr(), second.data_ptr());
  one->replay();
  EXPECT_TRUE(first.equal(x * 2));
  other->replay();
  EXPECT_TRUE(second.equal(x * 3));
}

// Batches of 3, 4 and 5 samples in turns, on the device.
class TurningBatches final : public BatchSource {
 public:
  explicit TurningBatches(c10::Device device) : device_(device) {}
  std::int64_t num_batches() const noexcept override { return 3; }
  void start_epoch(std::int64_t epoch, std::int64_t first_batch) override {
    epoch_ = epoch;
    at_ = first_batch;
  }
  std::optional<SampleList> next() override {
    if (at_ == num_batches()) return std::nullopt;
    const std::int64_t size = 3 + at_++;
    SampleList batch;
    batch.add_field("x", at::arange(2 * size).view({size, 2}).to(at::kFloat).add_(epoch_).sin());
    batch.add_field("targets", at::one_hot(at::arange(size) % 3, 3).to(at::kFloat));
    batch.add_field("question", Strings(static_cast<std::size_t>(size), "why?"));
    batch.set_dataset("boring", "train");
    return std::move(batch).to(device_);
  }
  Hook last_hook() const override { return {"get()"}; }

 private:
  c10::Device device_;
  std::int64_t epoch_ = 0;
  std::int64_t at_ = 0;
};

class RecordedTrainingTest : public StepGraphTest, public testing::WithParamInterface<const char*> {
 protected:
  struct Result {
    std::vector<at::Tensor> weights;
    std::string meter;
    std::int64_t replays;
  };
  // 24 updates: eight of each shape.
  Result train(GraphRecorder* recorder, Precision precision) {
    const Registry registry = builtin_registry();
    const auto model = make_boring_model(registry);
    model->to(device_);
    const auto optimizer = build_optimizer(
        registry, *model,
        Config(Value::Table{{"type", GetParam()}, {"params", Value::Table{{"lr", 0.02}}}}));
    const auto scheduler = build_scheduler(registry, "warmup_linear",
                                           Config(Value::Table{{"num_warmup_steps", 2}}), {24, 1});
    TurningBatches batches(device_);
    TrainerOptions options;
    options.max_updates = 24;
    options.precision = precision;
    options.max_grad_l2_norm = 0.2;
    options.gradients_are_read = false;
    options.optimizer = GetParam();
    options.graphs_are_required = recorder != nullptr;
    Trainer trainer(
        TrainerParts{*model, *optimizer, scheduler.get(), batches, {}, device_, nullptr, recorder},
        options, TrainerState());
    torch::manual_seed(3);
    static_cast<void>(trainer.run());
    Result result{{}, to_string(trainer.meter().state_dict()), trainer.graph_replays()};
    for (const auto& [key, tensor] : state_dict(*model)) result.weights.push_back(tensor.cpu());
    return result;
  }
};
INSTANTIATE_TEST_SUITE_P(Optimizers, RecordedTrainingTest, testing::Values("adam", "adamw"));

TEST_P(RecordedTrainingTest, WeightsAndLossesAreThoseOfATrainingThatIsNotRecorded) {
  stream_.reset();
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const Result eager = train(nullptr, precision);
    const Result recorded = train(recorder_.get(), precision);
    EXPECT_EQ(eager.meter, recorded.meter);
    ASSERT_EQ(eager.weights.size(), recorded.weights.size());
    for (std::size_t i = 0; i < eager.weights.size(); ++i) {
      EXPECT_TRUE(eager.weights[i].equal(recorded.weights[i])) << i;
    }
    EXPECT_EQ(recorded.replays, 3 * (8 - 3));
  }
}

}  // namespace
}  // namespace pergola::host
