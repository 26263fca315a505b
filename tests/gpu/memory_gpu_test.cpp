// SPDX-License-Identifier: BSD-3-Clause
// A GPU's memory, when it runs out as well, and a GPU that fails.
#include "gpu/gpu_fixture.h"
#include "host/device/device_failure.h"
#include "host/device/gpu_report.h"
#include "host/device/memory.h"
#include "host/device/out_of_memory.h"
#include "host/model/guard.h"
#include "host/support/log.h"
#include "host/train/batch_parts.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace pergola::host {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kMiB = 1 << 20;

class GpuMemoryTest : public OnGpu<> {
 protected:
  [[nodiscard]] at::Tensor take(std::int64_t bytes) const {
    return at::empty({bytes}, at::TensorOptions(at::kByte).device(device_));
  }
};

TEST_F(GpuMemoryTest, WhatTheGpuIsAndHasIsTold) {
  const std::string text = describe_gpu(device_.index());
  EXPECT_THAT(text, HasSubstr(" multiprocessors, "));
  EXPECT_THAT(text, HasSubstr(" of memory, "));
  EXPECT_THAT(text, HasSubstr("CUDA 13."));
  const std::optional<DeviceRoom> room = device_room(device_);
  ASSERT_TRUE(room);
  EXPECT_GT(room->total, room->free);
  EXPECT_GT(room->free, 0);
}

TEST_F(GpuMemoryTest, WhatIsReservedCanBeGivenBack) {
  at::Tensor tensor = take(64 * kMiB);
  const DeviceMemory used = device_memory(device_).value();
  EXPECT_GE(used.allocated, 64 * kMiB);
  EXPECT_GE(used.reserved, used.allocated);
  EXPECT_GE(used.reserved_peak, used.reserved);
  tensor.reset();
  EXPECT_EQ(device_memory(device_)->reserved, used.reserved);
  release_unused_memory(device_);
  EXPECT_LE(device_memory(device_)->reserved, used.reserved - 64 * kMiB);
}

// Twice of all that there is.
TEST_F(GpuMemoryTest, MemoryThatRunsOutIsToldWithTheNumbersOfTheGpu) {
  const DeviceRoom room = device_room(device_).value();
  const at::Tensor kept = take(64 * kMiB);
  std::string message;
  try {
    static_cast<void>(take(2 * room.total));
  } catch (const std::exception& error) {
    EXPECT_TRUE(is_out_of_memory(error));
    message = error.what();
  }
  const MemoryShortage shortage = MemoryShortage::parse(message);
  const auto percent = static_cast<double>(room.total) / 100;
  EXPECT_EQ(shortage.device, "GPU " + std::to_string(device_.index())) << message;
  EXPECT_NEAR(static_cast<double>(shortage.requested), static_cast<double>(2 * room.total),
              percent);
  EXPECT_NEAR(static_cast<double>(shortage.total), static_cast<double>(room.total), percent);
  EXPECT_GT(shortage.free, 0);
  EXPECT_LT(shortage.free, shortage.total);
  EXPECT_GE(shortage.in_tensors, 63 * kMiB);
  EXPECT_THAT(shortage.describe(), HasSubstr(" were asked for, and of the "));
  EXPECT_THAT(shortage.describe(), HasSubstr("; this process holds "));
}

class Nothing final : public BaseModel {
 public:
  Nothing() : BaseModel(Config(Value::Table{})) {}
  void build() override {}
  ModelOutput forward(const SampleList&) override { return {}; }
};

// A sample takes 30 % of what is free: 4 do not fit, and 2 do.
TEST_F(GpuMemoryTest, ABatchThatIsTooLargeIsWorkedOnInParts) {
  release_unused_memory(device_);
  const std::int64_t bytes = device_room(device_)->free * 3 / 10;
  const Nothing model;
  BatchSplitter splitter(model, device_);
  SampleList batch;
  batch.add_field("x", at::arange(4, at::TensorOptions(at::kFloat).device(device_)));
  batch.set_dataset("numbers", "train");
  const ModelOutput output = splitter.run(batch, [&](const SampleList& part) {
    return guarded(Hook{"forward()"}, [&] {
      const at::Tensor memory = take(part.batch_size() * bytes);
      return ModelOutput{.scores = part.tensor("x") * 2};
    });
  });
  EXPECT_EQ(splitter.most_samples(), 2);
  EXPECT_TRUE(output.scores.cpu().equal(at::tensor({0.0F, 2.0F, 4.0F, 6.0F})));
  release_unused_memory(device_);
}

// In a process of its own, which it ruins.
[[noreturn]] void fail_device(c10::Device device) {
  init_log(LogLevel::kInfo);
  try {
    guarded(Hook{"training_step()", "model", "m"}, [&] {
      const auto options = at::TensorOptions(device);
      const at::Tensor rows = at::full({64}, 1000, options.dtype(at::kLong));
      static_cast<void>(at::zeros({8, 4}, options).index_select(0, rows).sum().item<float>());
    });
  } catch (const Error& error) {
    log::write(LogLevel::kError, error.what());
    device_failure_was_told();
    std::exit(device_has_failed() ? static_cast<int>(error.kind()) : 100);
  }
  std::exit(101);
}

TEST_F(GpuMemoryTest, AGpuThatFailedIsToldWithItsHook) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(fail_device(device_), testing::ExitedWithCode(static_cast<int>(ErrorKind::kPlugin)),
              "training_step\\(\\) of model 'm' failed: the GPU reports 'device-side assert "
              "triggered', which CUDA tells late");
}

}  // namespace
}  // namespace pergola::host
