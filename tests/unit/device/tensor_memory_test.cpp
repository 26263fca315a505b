// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/tensor_memory.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

namespace pergola::host {
namespace {

TEST(TensorMemory, CountsWhatTensorsHoldToTheByte) {
  const TensorMemory memory;
  at::Tensor kept = at::zeros({1000}, at::kFloat);  // 4,000 bytes
  EXPECT_EQ(memory.bytes(), 4000);
  {
    const at::Tensor more = at::zeros({10}, at::kDouble);
    EXPECT_EQ(memory.bytes(), 4080);
  }
  EXPECT_EQ(memory.bytes(), 4000);
  kept.reset();
  EXPECT_EQ(memory.bytes(), 0);
}

TEST(TensorMemory, TensorsOfBeforeDoNotCountWhenTheyEnd) {
  at::Tensor before = at::zeros({1000});
  const TensorMemory memory;
  before.reset();
  EXPECT_EQ(memory.bytes(), 0);
}

TEST(TensorMemory, GradientsOfABackwardPassCount) {
  at::Tensor weight = at::ones({100}).requires_grad_();
  const TensorMemory memory;
  (weight * weight).sum().backward();
  EXPECT_EQ(memory.bytes(), 400);  // the gradient; what the pass kept is gone
}

}  // namespace
}  // namespace pergola::host
