// SPDX-License-Identifier: BSD-3-Clause
// Attention on a GPU in half precision: the three ways against the CPU's in single. The packed one
// is there LibTorch's own over sequences of different lengths.
#include "pergola/nn/attention.h"

#include "gpu/gpu_fixture.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using nn::AttentionKind;

enum class Places { kUnknown, kInTheBatch };

// A way to attend, the width of a head, and whether the batch says where its tokens are.
class GpuAttentionTest
    : public OnGpu<testing::TestWithParam<std::tuple<AttentionKind, std::int64_t, Places>>> {
 protected:
  [[nodiscard]] static nn::TokenMask mask_on(at::Device device, Places places) {
    const at::Tensor present = torch::tensor({{1, 1, 1, 1}, {1, 1, 0, 0}, {0, 0, 0, 0}});
    SampleList batch;
    batch.add_field("present", present);
    if (places == Places::kInTheBatch) nn::add_token_places(batch, present);
    batch = std::move(batch).to(device);
    return {batch.tensor("present"), batch};
  }

  // The result [B, T, H, D] and the gradients of q, k and v, in single precision on the CPU.
  [[nodiscard]] static std::vector<at::Tensor> run(AttentionKind kind, std::int64_t width,
                                                   Places places, at::TensorOptions options) {
    torch::manual_seed(5);
    const nn::TokenMask mask = mask_on(options.device(), places);
    std::vector<at::Tensor> leaves;
    std::vector<at::Tensor> qkv;
    for (int i = 0; i < 3; ++i) {
      leaves.push_back(torch::randn({3, 4, 2, width}).to(options).requires_grad_(true));
      const bool packed = kind == AttentionKind::kPacked;
      qkv.push_back(packed ? mask.pack(leaves.back()) : leaves.back().transpose(1, 2));
    }
    at::Tensor result = nn::attention(kind, qkv[0], qkv[1], qkv[2], mask, /*dropout=*/0);
    result = kind == AttentionKind::kPacked ? mask.unpack(result) : result.transpose(1, 2);
    result = result * mask.present().unsqueeze(-1).unsqueeze(-1);
    result.to(torch::kFloat).square().sum().backward();
    std::vector<at::Tensor> all = {result.detach()};
    for (const at::Tensor& leaf : leaves) all.push_back(leaf.grad());
    for (at::Tensor& tensor : all) tensor = tensor.to(torch::kCPU, torch::kFloat);
    return all;
  }
};

// Of a result and its gradients, the largest difference over the largest number: single numbers
// near 0 keep no digits in bfloat16, whose steps are 2^-8 (measured on an H100: 1.4e-2, 9e-4).
TEST_P(GpuAttentionTest, IsThatOfTheCpu) {
  const auto [kind, width, places] = GetParam();
  const std::vector<at::Tensor> expected =
      run(AttentionKind::kPlain, width, places, at::TensorOptions(torch::kFloat));
  const std::pair<at::ScalarType, double> bounds[] = {
      {at::kFloat, 1e-5}, {at::kHalf, 4e-3}, {at::kBFloat16, 2e-2}};
  for (const auto& [type, bound] : bounds) {
    const std::vector<at::Tensor> found =
        run(kind, width, places, at::TensorOptions(type).device(device_));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double largest = (found[i] - expected[i]).abs().max().item<double>();
      EXPECT_LE(largest, bound * expected[i].abs().max().item<double>()) << type << i;
    }
  }
}

// 4: LibTorch's attention over sequences of different lengths takes multiples of 8 alone.
INSTANTIATE_TEST_SUITE_P(All, GpuAttentionTest,
                         testing::Combine(testing::Values(AttentionKind::kSdpa,
                                                          AttentionKind::kPlain,
                                                          AttentionKind::kPacked),
                                          testing::Values(64, 4),
                                          testing::Values(Places::kUnknown, Places::kInTheBatch)));

// What stands there meets every weight's gradient, times 0: a NaN would stay one.
TEST_P(GpuAttentionTest, SurplusRowsAreFiniteWithGradientsOfNothing) {
  const auto [kind, width, places] = GetParam();
  if (kind != AttentionKind::kPacked) return;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const nn::TokenMask mask = mask_on(device_, Places::kInTheBatch);
    std::vector<at::Tensor> qkv;
    for (int i = 0; i < 3; ++i) {
      const at::Tensor x = torch::randn({128, 2, width}, at::TensorOptions(type).device(device_));
      qkv.push_back(x.requires_grad_(true));
    }
    const at::Tensor result = nn::attention(kind, qkv[0], qkv[1], qkv[2], mask, /*dropout=*/0);
    ASSERT_EQ(result.size(0), 128);
    EXPECT_TRUE(result.isfinite().all().item<bool>()) << type;
    mask.unpack(result).to(torch::kFloat).square().sum().backward();
    for (const at::Tensor& x : qkv) {
      EXPECT_TRUE(x.grad().isfinite().all().item<bool>()) << type;
      EXPECT_TRUE(x.grad().slice(0, 6).eq(0).all().item<bool>()) << type;  // 4 + 2 tokens
    }
  }
}

}  // namespace
}  // namespace pergola::host
