// SPDX-License-Identifier: BSD-3-Clause
// Parameters and their state on a GPU, as the fused step of Adam takes them.
#pragma once

#include "gpu/gpu_fixture.h"
#include "host/device/cuda_library.h"
#include "host/model/optimizers/fused_adam.h"

#include <ATen/ATen.h>
#include <torch/types.h>

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace pergola::host {

inline constexpr FusedAdam::Options kAdamOptions = {
    .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1};
inline constexpr double kRate = 0.01;

class FusedAdamGpuTest : public OnGpu<> {
 protected:
  void SetUp() override {
    OnGpu::SetUp();
    if (IsSkipped()) return;
    if (cuda_library() == nullptr) GTEST_SKIP() << "this build has no libpergola_cuda.so";
    torch::manual_seed(7);
  }

  // `count` numbers that begin `offset` numbers behind the begin of their memory.
  [[nodiscard]] at::Tensor numbers(std::int64_t count, std::int64_t offset,
                                   at::ScalarType type = at::kFloat) const {
    const at::Tensor memory = torch::randn({count + offset}).to(device_, type);
    return memory.narrow(0, offset, count).detach();
  }
  [[nodiscard]] at::Tensor number(double value) const {
    return at::full({}, value, at::TensorOptions(device_).dtype(at::kFloat));
  }

  // Parameters of such sizes in one group. Where `offset` is not 0, no pointer is aligned.
  [[nodiscard]] FusedAdam::Batch batch(const std::vector<std::int64_t>& sizes,
                                       std::int64_t offset = 0,
                                       at::ScalarType gradients = at::kFloat) const {
    FusedAdam::Batch batch;
    for (const std::int64_t size : sizes) {
      batch.parameters.push_back(numbers(size, offset));
      batch.gradients.push_back(numbers(size, offset, gradients));
      batch.averages.push_back(numbers(size, offset).zero_());
      batch.squares.push_back(numbers(size, offset).zero_());
      batch.steps.push_back(number(0));
      batch.groups.push_back(0);
    }
    return batch;
  }
};

}  // namespace pergola::host
