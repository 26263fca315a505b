// SPDX-License-Identifier: BSD-3-Clause
// What the log says of a GPU: its memory, and the operations that it was given, backward passes on
// autograd's own threads included.
#include "gpu/gpu_fixture.h"
#include "host/callbacks/flop_counter.h"
#include "host/device/memory.h"
#include "pergola/nn/attention.h"

#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>
#include <torch/types.h>

#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using nn::AttentionKind;

class GpuThroughputTest : public OnGpu<> {
 protected:
  template <class Work>
  static std::int64_t flops_of(const Work& work) {
    const FlopCounter counter;
    work();
    return counter.flops();
  }

  // Of attention over sequences of 4, 2 and 0 tokens, 2 heads of width 64, forward and backward.
  [[nodiscard]] std::int64_t attention_flops(AttentionKind kind) const {
    const nn::TokenMask mask(torch::tensor({{1, 1, 1, 1}, {1, 1, 0, 0}, {0, 0, 0, 0}}).to(device_));
    std::vector<at::Tensor> qkv;
    for (int i = 0; i < 3; ++i) {
      const at::Tensor leaf =
          torch::randn({3, 4, 2, 64}, at::TensorOptions(at::kBFloat16).device(device_))
              .requires_grad_(true);
      qkv.push_back(kind == AttentionKind::kPacked ? mask.pack(leaf) : leaf.transpose(1, 2));
    }
    return flops_of(
        [&] { nn::attention(kind, qkv[0], qkv[1], qkv[2], mask, /*dropout=*/0).sum().backward(); });
  }
};

TEST_F(GpuThroughputTest, ABackwardPassOnAutogradsThreadsIsCounted) {
  torch::nn::Linear linear(5, 7);
  linear->to(device_);
  const at::Tensor x = torch::randn({3, 5}, at::TensorOptions(device_)).requires_grad_(true);
  EXPECT_EQ(flops_of([&] { linear(x).sum().backward(); }), 6 * 3 * 5 * 7);
}

TEST_F(GpuThroughputTest, ARecurrentLayerOfCudnnIsCounted) {
  torch::nn::LSTM lstm(torch::nn::LSTMOptions(4, 6));
  lstm->to(device_);
  const at::Tensor x = torch::randn({5, 3, 4}, at::TensorOptions(device_));
  // 15 rows, four gates of 6, from 4 + 6 inputs; three times two operations.
  EXPECT_EQ(flops_of([&] { std::get<0>(lstm(x)).sum().backward(); }), 6 * 15 * 4 * 6 * (4 + 6));
}

TEST_F(GpuThroughputTest, AttentionCountsThePairsOfTokensThatItLooksAt) {
  // Two heads; for each pair 64 products for the score and as many for the values; three times two
  // operations, since the backward pass has two products for each one.
  constexpr std::int64_t kOfAPair = 2 * (64 + 64) * 6;
  // A square of 4 x 4 for each of the three sequences, padding included.
  EXPECT_EQ(attention_flops(AttentionKind::kPlain), 3 * 16 * kOfAPair);
  EXPECT_EQ(attention_flops(AttentionKind::kSdpa), 3 * 16 * kOfAPair);
  // Without padding: 4 x 4 + 2 x 2.
  EXPECT_EQ(attention_flops(AttentionKind::kPacked), 20 * kOfAPair);
}

TEST_F(GpuThroughputTest, MemoryIsWhatTensorsHold) {
  const at::Tensor first = torch::zeros({1}, at::TensorOptions(device_));  // wakes the allocator
  const std::optional<DeviceMemory> before = device_memory(device_);
  ASSERT_TRUE(before.has_value());
  constexpr std::int64_t kBytes = 64 << 20;
  {
    const at::Tensor block = torch::zeros({kBytes}, at::TensorOptions(at::kByte).device(device_));
    EXPECT_EQ(device_memory(device_)->allocated, before->allocated + kBytes);
  }
  EXPECT_EQ(device_memory(device_)->allocated, before->allocated);
  EXPECT_GE(device_memory(device_)->peak, before->allocated + kBytes);
}

}  // namespace
}  // namespace pergola::host
