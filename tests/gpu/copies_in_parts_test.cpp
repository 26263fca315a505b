// SPDX-License-Identifier: BSD-3-Clause
// A batch for which a GPU has no room, while its half fits.
#include "gpu/gpu_fixture.h"
#include "host/data/device_feed.h"
#include "host/device/memory.h"
#include "host/train/batch_parts.h"

#include <ATen/ATen.h>
#include <c10/util/Exception.h>

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

constexpr std::int64_t kSample = 256 << 20;  // bytes

// One batch of 4 samples; sample i is full of i.
class OneBatch final : public BatchSource {
 public:
  [[nodiscard]] std::int64_t num_batches() const noexcept override { return 1; }
  void start_epoch(std::int64_t, std::int64_t) override { is_left_ = true; }
  [[nodiscard]] std::optional<SampleList> next() override {
    if (!std::exchange(is_left_, false)) return std::nullopt;
    SampleList batch;
    batch.add_field("x", at::arange(4, at::kByte).unsqueeze(1).expand({4, kSample}).contiguous());
    batch.set_dataset("numbers", "train");
    return batch;
  }
  [[nodiscard]] Hook last_hook() const override { return Hook{"numbers"}; }

 private:
  bool is_left_ = false;
};

class NoModel final : public BaseModel {
 public:
  NoModel() : BaseModel(Config(Value::Table{})) {}
  void build() override {}
  ModelOutput forward(const SampleList&) override { return {}; }
};

class GpuCopiesTest : public OnGpu<> {
 protected:
  void SetUp() override {
    OnGpu<>::SetUp();
    // Of the first tensor on: other processes keep the rest.
    if (device_.is_cuda()) set_allocator("per_process_memory_fraction:0.1");
  }

  // All memory but that of 3 samples, and less than that of a fourth.
  [[nodiscard]] std::vector<at::Tensor> fill() const {
    std::vector<at::Tensor> filling;
    try {
      while (true) {
        filling.push_back(at::empty({kSample}, at::TensorOptions(at::kByte).device(device_)));
      }
    } catch (const c10::OutOfMemoryError&) {
      filling.resize(filling.size() - 3);
    }
    return filling;
  }
};

TEST_F(GpuCopiesTest, ABatchWithoutRoomIsCopiedInParts) {
  std::vector<at::Tensor> filling = fill();
  OneBatch source;
  DeviceFeed feed(source, device_);
  feed.start_epoch(0);
  const std::optional<SampleList> loaded = feed.next();
  ASSERT_TRUE(loaded.has_value());
  EXPECT_TRUE(loaded->tensor("x").is_cpu());

  const NoModel model;
  BatchSplitter splitter(model, device_);
  const SampleList batch = splitter.to_device(*loaded);
  EXPECT_TRUE(batch.tensor("x").is_cpu());
  const ModelOutput output = splitter.run(batch, [](const SampleList& part) {
    EXPECT_TRUE(part.tensor("x").is_cuda());
    return ModelOutput{.scores = part.tensor("x").amax(1)};
  });
  EXPECT_EQ(splitter.most_samples(), 2);
  EXPECT_TRUE(output.scores.equal(at::arange(4, at::kByte)));  // beside the batch, on the CPU

  filling.clear();
  release_unused_memory(device_);
  EXPECT_TRUE(splitter.to_device(*loaded).tensor("x").is_cuda());  // there is room again
}

}  // namespace
}  // namespace pergola::host
