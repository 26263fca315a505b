// SPDX-License-Identifier: BSD-3-Clause
// Operators of pergola/ops.h beside their unfused forms in double precision on the CPU, for each
// type that kernels know.
#pragma once

#include "gpu/gpu_fixture.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace pergola::host {

using Tensors = std::vector<at::Tensor>;
using Function = std::function<at::Tensor(const Tensors&)>;

// What a type's rounding allows, as a part of the whole: its step, and some for sums.
inline double bound_of(at::ScalarType type) {
  return type == at::kFloat ? 2e-6 : type == at::kHalf ? 2e-3 : 1.2e-2;
}

class FusedOpsTest : public OnGpu<testing::TestWithParam<at::ScalarType>> {
 protected:
  void SetUp() override {
    OnGpu::SetUp();
    if (IsSkipped()) return;
    ASSERT_EQ(kernels_problem(), "");
    torch::manual_seed(3);
  }

  // Standard normal in the type under test, as a leaf. `offset`: numbers that its memory begins
  // behind an aligned address.
  at::Tensor leaf(at::IntArrayRef sizes, std::int64_t offset = 0) const {
    const at::Tensor memory = torch::randn({c10::multiply_integers(sizes) + offset},
                                           at::TensorOptions(GetParam()).device(device_));
    return memory.slice(0, offset).view(sizes).detach().requires_grad_(true);
  }

  // ||found - expected|| / ||expected||
  static double distance(const at::Tensor& found, const at::Tensor& expected) {
    const at::Tensor doubles = found.detach().to(at::kCPU, at::kDouble);
    if (expected.numel() == 0) return doubles.sizes() == expected.sizes() ? 0 : 1;
    return ((doubles - expected).norm() / expected.norm().clamp_min(1e-30)).item<double>();
  }

  // `fused` of the leaves, and its gradients, beside `unfused` of the same numbers.
  void expect_alike(const Tensors& leaves, const Function& fused, const Function& unfused,
                    double bound) const {
    Tensors references;
    for (const at::Tensor& each : leaves) {
      references.push_back(each.detach().to(at::kCPU, at::kDouble).requires_grad_(true));
    }
    const at::Tensor expected = unfused(references);
    const at::Tensor found = fused(leaves);
    EXPECT_LE(distance(found, expected.detach()), bound);
    const at::Tensor pull = torch::randn(expected.sizes()).to(GetParam()).to(at::kDouble);
    expected.backward(pull);
    found.backward(pull.to(found.options()));
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      ASSERT_TRUE(leaves[i].grad().defined()) << i;
      EXPECT_LE(distance(leaves[i].grad(), references[i].grad()), bound) << "gradient " << i;
    }
  }
};

}  // namespace pergola::host
