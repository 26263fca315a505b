// SPDX-License-Identifier: BSD-3-Clause
// The memory that recordings share: held as long as there may be others, and given up for a batch
// that does not fit beside it (training.on_out_of_memory = "halve").
#include "gpu/gpu_fixture.h"
#include "host/data/batch_source.h"
#include "host/device/memory.h"
#include "host/device/on_stream.h"
#include "host/device/step_graph.h"
#include "host/model/builder.h"
#include "host/train/trainer.h"
#include "unit/train/boring.h"

#include <ATen/ATen.h>
#include <c10/util/Exception.h>
#include <torch/types.h>

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

constexpr std::int64_t kOneMiB = 1 << 20;
constexpr std::int64_t kSlack = 8 * kOneMiB;  // small blocks, and what generators keep

class ReleasedRecordingsTest : public OnGpu<> {
 protected:
  void SetUp() override {
    OnGpu::SetUp();
    if (IsSkipped()) return;
    std::string problem;
    recorder_ = make_graph_recorder(device_, problem);
    if (!recorder_) GTEST_SKIP() << problem;
  }
  [[nodiscard]] at::Tensor floats(std::int64_t mib) const {
    const auto options = at::TensorOptions(at::kFloat).device(device_);
    return at::ones({mib * kOneMiB / 4}, options);
  }
  [[nodiscard]] std::int64_t reserved() const { return device_memory(device_)->reserved; }

  std::unique_ptr<GraphRecorder> recorder_;
};

// x * 2 and its square are 64 MiB each, beside each other.
TEST_F(ReleasedRecordingsTest, MemoryOfRecordingsThatAreGoneIsHeldUntilItIsReleased) {
  const OnStream stream(device_);
  const at::Tensor x = floats(64);
  at::Tensor sum = (x * 2).square().sum();  // loads the kernels
  const float expected = sum.item<float>();
  sum.reset();
  release_unused_memory(device_);
  const std::int64_t before = reserved();
  auto work = recorder_->record([&] { sum = (x * 2).square().sum(); });
  work->replay();
  EXPECT_EQ(sum.item<float>(), expected);
  EXPECT_GE(reserved(), before + 128 * kOneMiB);
  work.reset();
  sum.reset();
  release_unused_memory(device_);
  EXPECT_GE(reserved(), before + 128 * kOneMiB);
  recorder_->release();
  release_unused_memory(device_);
  EXPECT_LE(reserved(), before + kSlack);
  // It goes on to record, in other memory.
  work = recorder_->record([&] { sum = (x * 2).square().sum(); });
  work->replay();
  EXPECT_EQ(sum.item<float>(), expected);
}

// Five batches of 3 samples, then one of 4.
class LastBatchIsLarger final : public BatchSource {
 public:
  static constexpr std::int64_t kBatches = 6;
  static constexpr std::int64_t kLargest = 4;
  explicit LastBatchIsLarger(c10::Device device) : device_(device) {}
  std::int64_t num_batches() const noexcept override { return kBatches; }
  void start_epoch(std::int64_t epoch, std::int64_t first_batch) override {
    epoch_ = epoch;
    at_ = first_batch;
  }
  std::optional<SampleList> next() override {
    if (at_ == kBatches) return std::nullopt;
    const std::int64_t size = ++at_ == kBatches ? kLargest : kLargest - 1;
    SampleList batch;
    const at::Tensor numbers = at::arange(2 * size).view({size, 2}).to(at::kFloat);
    batch.add_field("x", numbers.add(static_cast<double>(10 * epoch_ + at_)).sin());
    batch.add_field("targets", at::one_hot(at::arange(size) % 3, 3).to(at::kFloat));
    batch.set_dataset("boring", "train");
    return std::move(batch).to(device_);
  }
  Hook last_hook() const override { return {"get()"}; }

 private:
  c10::Device device_;
  std::int64_t epoch_ = 0;
  std::int64_t at_ = 0;
};

class HalvedRunTest : public ReleasedRecordingsTest {
 protected:
  struct Result {
    std::vector<at::Tensor> weights;
    std::vector<std::int64_t> reserved;  // when forward() began for a larger batch
    std::int64_t replays = 0;
  };
  // Two epochs. Each forward pass takes 256 MiB for a while; with a recorder, the first one of a
  // larger batch finds that there is no more.
  Result train(GraphRecorder* recorder) {
    const Registry registry = builtin_registry();
    const auto model = make_boring_model(registry);
    model->to(device_);
    const auto optimizer = build_optimizer(
        registry, *model,
        Config(Value::Table{{"type", "adamw"}, {"params", Value::Table{{"lr", 0.02}}}}));
    LastBatchIsLarger batches(device_);
    Result result;
    model->on_forward = [&](ModelOutput& output) {
      if (output.scores.size(0) == LastBatchIsLarger::kLargest) {
        result.reserved.push_back(reserved());
        const bool is_short = recorder != nullptr && result.reserved.size() == 1;
        TORCH_CHECK_WITH(OutOfMemoryError, !is_short,
                         "CUDA out of memory. Tried to allocate 256.00 ",
                         "MiB. GPU 0 has a total capacity of 80.00 GiB of which 1.00 MiB is free.");
      }
      output.scores = output.scores + (floats(256).sum() * 0);
    };
    TrainerOptions options;
    options.max_updates = 2 * LastBatchIsLarger::kBatches;
    options.gradients_are_read = false;
    options.halves_batches = true;
    Trainer trainer(
        TrainerParts{*model, *optimizer, nullptr, batches, {}, device_, nullptr, recorder}, options,
        TrainerState());
    torch::manual_seed(3);
    static_cast<void>(trainer.run());
    for (const auto& [key, tensor] : state_dict(*model)) result.weights.push_back(tensor.cpu());
    result.replays = trainer.graph_replays();
    return result;
  }
};

// Updates 1 to 3 are done by operations, 4 and 5 are recorded and replayed, and the larger batch
// of update 6 meets the shortage. It is tried again whole, without what recordings held.
TEST_F(HalvedRunTest, AShortageIsFirstMetWithTheMemoryOfRecordings) {
  const Result eager = train(nullptr);
  release_unused_memory(device_);
  const Result found = train(recorder_.get());
  EXPECT_EQ(found.replays, 2);
  ASSERT_EQ(found.reserved.size(), 3U);  // twice in the first epoch
  EXPECT_LE(found.reserved[1], found.reserved[0] - 256 * kOneMiB + kSlack);
  ASSERT_EQ(found.weights.size(), eager.weights.size());
  for (std::size_t i = 0; i < found.weights.size(); ++i) {
    EXPECT_TRUE(found.weights[i].equal(eager.weights[i])) << i;
  }
}

}  // namespace
}  // namespace pergola::host
