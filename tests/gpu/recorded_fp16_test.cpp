// SPDX-License-Identifier: BSD-3-Clause
// Recorded updates of several micro-batches, and in fp16, on a GPU: what overflows is left out by
// the device.
#include "gpu/fused_adam_kit.h"
#include "host/data/batch_source.h"
#include "host/device/grad_scaler.h"
#include "host/device/on_stream.h"
#include "host/device/step_graph.h"
#include "host/model/builder.h"
#include "host/model/optimizers/device_skip.h"
#include "host/train/trainer.h"
#include "unit/train/boring.h"

#include <ATen/ATen.h>
#include <torch/types.h>

#include <limits>

namespace pergola::host {
namespace {

using Rule = FusedAdam::Rule;

std::vector<at::Tensor> tensors_of(const FusedAdam::Batch& batch) {
  std::vector<at::Tensor> all;
  for (const auto* tensors : {&batch.parameters, &batch.averages, &batch.squares, &batch.steps}) {
    for (const at::Tensor& tensor : *tensors) all.push_back(tensor.clone());
  }
  return all;
}

void expect_same_tensors(const std::vector<at::Tensor>& found,
                         const std::vector<at::Tensor>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(found[i].equal(expected[i])) << i;
}

class SkippedAdamTest : public FusedAdamGpuTest {};

// Sizes and alignments of all of the kernel's paths.
TEST_F(SkippedAdamTest, ASkippedStepChangesNothingAndTheNextOneIsAsIfItHadNotBeen) {
  for (const Rule rule : {Rule::kAdam, Rule::kAdamW, Rule::kAdamax, Rule::kMmfAdamW}) {
    for (const std::int64_t offset : {0, 1}) {
      FusedAdam::Batch one = batch({0, 5, 40000}, offset);
      FusedAdam adam({kAdamOptions}, rule);
      adam.step(one, {kRate});
      const std::vector<at::Tensor> before = tensors_of(one);
      const std::vector<at::Tensor> gradients = one.gradients;
      for (at::Tensor& gradient : one.gradients) {
        gradient = at::full_like(gradient, std::numeric_limits<float>::quiet_NaN());
      }
      adam.skip_next_where(number(1));
      adam.step(one, {kRate});
      expect_same_tensors(tensors_of(one), before);
      one.gradients = gradients;
      adam.skip_next_where(number(0));
      adam.step(one, {kRate});
      EXPECT_EQ(one.steps[2].item<float>(), 2);
      EXPECT_FALSE(one.parameters[2].equal(before[2]));
    }
  }
}

TEST_F(SkippedAdamTest, ARecordedStepIsSkippedWhereTheRecordedScalerFindsAnOverflow) {
  const OnStream stream(device_);
  at::Tensor weight = at::ones({1000}, at::TensorOptions(device_)).requires_grad_(true);
  weight.mutable_grad() = at::zeros_like(weight);
  const Registry registry = builtin_registry();
  const auto optimizer = registry.make_optimizer(
      {"adamw", Config(Value::Table{}, "optimizer.params"), Config(), "optimizer"},
      {{.names = {"weight"}, .parameters = {weight}}});
  auto& skipping = dynamic_cast<DeviceSkip&>(*optimizer);
  GradScaler scaler(device_, {.growth_interval = 2});
  const auto work = [&] {
    scaler.unscale_gradients(*optimizer);
    scaler.update();
    ASSERT_TRUE(skipping.skip_where(scaler.overflow()));
    optimizer->step();
  };
  work();  // the state is made
  std::string problem;
  const auto recorder = make_graph_recorder(device_, problem);
  ASSERT_NE(recorder, nullptr) << problem;
  const auto recorded = recorder->record(work);
  // The scale grows with the second update in a row that does not overflow, of which work() was
  // one.
  std::vector<double> scales;
  std::vector<float> steps;
  for (const bool overflow : {false, true, false, false, true, false}) {
    weight.mutable_grad().fill_(overflow ? std::numeric_limits<float>::infinity() : 65536.0F);
    recorded->replay();
    EXPECT_EQ(scaler.overflowed(), overflow);
    scales.push_back(scaler.current_scale());
    steps.push_back(optimizer->state_dict().at("weight/step").item<float>());
  }
  EXPECT_EQ(scales, (std::vector<double>{0x1p17, 0x1p16, 0x1p16, 0x1p17, 0x1p16, 0x1p16}));
  EXPECT_EQ(steps, (std::vector<float>{2, 2, 3, 4, 4, 5}));
  EXPECT_TRUE(weight.isfinite().all().item<bool>());
}

// Batches of 3, 4 and 5 samples in turns, on the device; in some epochs one has numbers that are
// beyond float16.
class LargeBatches final : public BatchSource {
 public:
  explicit LargeBatches(c10::Device device, bool overflows)
      : device_(device), overflows_(overflows) {}
  std::int64_t num_batches() const noexcept override { return 3; }
  void start_epoch(std::int64_t epoch, std::int64_t first_batch) override {
    epoch_ = epoch;
    at_ = first_batch;
  }
  std::optional<SampleList> next() override {
    if (at_ == num_batches()) return std::nullopt;
    const bool is_large = overflows_ && epoch_ % 3 == 1 && at_ == epoch_ / 3 % 3;
    const std::int64_t size = 3 + at_++;
    SampleList batch;
    batch.add_field("x", at::arange(2 * size)
                             .view({size, 2})
                             .to(at::kFloat)
                             .add_(epoch_)
                             .sin()
                             .mul_(is_large ? 1e30 : 1));
    batch.add_field("targets", at::one_hot(at::arange(size) % 3, 3).to(at::kFloat));
    batch.set_dataset("boring", "train");
    return std::move(batch).to(device_);
  }
  Hook last_hook() const override { return {"get()"}; }

 private:
  c10::Device device_;
  bool overflows_;
  std::int64_t epoch_ = 0;
  std::int64_t at_ = 0;
};

class RecordedSumsTest : public FusedAdamGpuTest {
 protected:
  struct Result {
    std::vector<at::Tensor> tensors;  // of the model, and of the optimizer
    std::string scaler;
    std::string meter;
    std::int64_t replays;
  };
  Result train(GraphRecorder* recorder, TrainerOptions options) {
    const Registry registry = builtin_registry();
    const auto model = make_boring_model(registry);
    model->register_buffer("count", at::zeros({}, at::kLong));
    model->to(device_);
    model->on_forward = [&](ModelOutput&) { model->named_buffers()["count"].add_(1); };
    const auto optimizer = build_optimizer(
        registry, *model,
        Config(Value::Table{{"type", "adamw"}, {"params", Value::Table{{"lr", 0.02}}}}));
    const auto scheduler = build_scheduler(registry, "warmup_linear",
                                           Config(Value::Table{{"num_warmup_steps", 2}}), {30, 1});
    LargeBatches batches(device_, options.precision == Precision::kFp16);
    options.max_updates = 30;
    options.log_interval = 7;
    options.exit_on_nan_losses = false;
    options.max_grad_l2_norm = 0.2;
    options.graphs_are_required = recorder != nullptr;
    Trainer trainer(
        TrainerParts{*model, *optimizer, scheduler.get(), batches, {}, device_, nullptr, recorder},
        options, TrainerState());
    torch::manual_seed(3);
    static_cast<void>(trainer.run());
    Result result;
    const CheckpointContent content = trainer.content();
    for (const StateDict& state : {content.model, content.trainer}) {
      for (const auto& [key, tensor] : state) result.tensors.push_back(tensor.cpu());
    }
    const Value* const scaler = content.state.find("scaler");
    if (scaler != nullptr) result.scaler = to_string(*scaler);
    result.meter = to_string(trainer.meter().state_dict());
    result.replays = trainer.graph_replays();
    return result;
  }
};

TEST_F(RecordedSumsTest, AllIsThatOfATrainingThatIsNotRecorded) {
  std::string problem;
  const auto recorder = make_graph_recorder(device_, problem);
  ASSERT_NE(recorder, nullptr) << problem;
  for (const Precision precision : {Precision::kFp32, Precision::kBf16, Precision::kFp16}) {
    for (const std::int64_t frequency : {1, 2, 3}) {
      for (const bool acts : {false, true}) {  // on gradients, and on what a step does
        SCOPED_TRACE(concat(static_cast<int>(precision), ", ", frequency, ", ", acts));
        TrainerOptions options;
        options.precision = precision;
        options.update_frequency = frequency;
        options.gradients_are_read = acts;
        options.steps_may_be_skipped = acts;
        const Result eager = train(nullptr, options);
        const Result recorded = train(recorder.get(), options);
        expect_same_tensors(recorded.tensors, eager.tensors);
        EXPECT_EQ(recorded.scaler, eager.scaler);
        EXPECT_EQ(recorded.meter, eager.meter);
        EXPECT_GT(recorded.replays, 10);
      }
    }
  }
}

}  // namespace
}  // namespace pergola::host
