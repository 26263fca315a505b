// SPDX-License-Identifier: BSD-3-Clause
// Recompute gives the bits that the same training has without it, and keeps less.
#include "pergola/error.h"
#include "pergola/nn/bert.h"
#include "pergola/nn/recompute.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

namespace pergola::nn {
namespace {

using ::testing::HasSubstr;

// 3 layers, 16 wide, with dropout.
BertConfig small(AttentionKind attention = AttentionKind::kSdpa) {
  BertConfig config;
  config.hidden_size = 16;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 2;
  config.intermediate_size = 32;
  config.hidden_dropout_prob = 0.3;
  config.attention_probs_dropout_prob = 0.2;
  config.attention = attention;
  return config;
}

// bfloat16 for products on the CPU, as long as it lives.
class Bf16 {
 public:
  Bf16() {
    at::autocast::increment_nesting();
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  }
  ~Bf16() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }
  Bf16(const Bf16&) = delete;
  Bf16& operator=(const Bf16&) = delete;
};

// What two updates of two micro-batches each leave behind.
struct Trace {
  std::vector<double> losses;
  std::vector<at::Tensor> gradients;  // of both updates
  at::Tensor next_random;             // where the generator stands at the end
};

enum class Kept { kAll, kInputs };

Trace train(AttentionKind attention, bool bf16, Kept kept) {
  at::set_num_threads(1);  // threads that wait for each other help no tensor of this size
  torch::manual_seed(7);
  BertEncoder encoder(small(attention));
  encoder.set_recompute(kept == Kept::kInputs);
  const TokenMask mask(torch::tensor({{1, 1, 1, 1}, {1, 1, 1, 0}, {1, 1, 0, 0}}));
  Trace trace;
  for (int update = 0; update < 2; ++update) {
    encoder.zero_grad();
    for (int batch = 0; batch < 2; ++batch) {
      const at::Tensor words = torch::randn({3, 4, 16}).requires_grad_(true);
      const at::Tensor input = words * 2;  // autocast takes a leaf for a weight
      std::optional<Bf16> scope;
      if (bf16) scope.emplace();
      const at::Tensor loss =
          (encoder.forward(input, mask) * mask.present().unsqueeze(-1)).square().mean();
      scope.reset();
      loss.backward();
      trace.losses.push_back(loss.item<double>());
      trace.gradients.push_back(words.grad());
    }
    const torch::NoGradGuard no_grad;
    for (const at::Tensor& parameter : encoder.parameters()) {
      trace.gradients.push_back(parameter.grad().clone());
      at::Tensor(parameter).sub_(parameter.grad());
    }
  }
  trace.next_random = torch::rand({4});
  return trace;
}

class RecomputeTraining : public ::testing::TestWithParam<std::tuple<AttentionKind, bool>> {};

// The second update has the weights of the first one's step, which a converted weight that somebody
// kept would not be.
TEST_P(RecomputeTraining, HasTheSameLossesGradientsAndRandomNumbers) {
  const auto [attention, bf16] = GetParam();
  const Trace expected = train(attention, bf16, Kept::kAll);
  const Trace found = train(attention, bf16, Kept::kInputs);
  EXPECT_EQ(found.losses, expected.losses);
  ASSERT_EQ(found.gradients.size(), expected.gradients.size());
  for (std::size_t i = 0; i < found.gradients.size(); ++i) {
    EXPECT_GT(expected.gradients[i].abs().max().item<double>(), 0) << i;
    EXPECT_TRUE(found.gradients[i].equal(expected.gradients[i])) << i;
  }
  EXPECT_TRUE(found.next_random.equal(expected.next_random));
}

INSTANTIATE_TEST_SUITE_P(All, RecomputeTraining,
                         ::testing::Combine(::testing::Values(AttentionKind::kSdpa,
                                                              AttentionKind::kPlain,
                                                              AttentionKind::kPacked),
                                            ::testing::Bool()));

// The host's autocast turns oneDNN off where that lacks a type; its kernels round otherwise.
TEST(RecomputeTest, RunsWithTheKernelsOfTheForwardPass) {
  const bool before = at::globalContext().userEnabledMkldnn();
  std::vector<bool> seen;
  at::globalContext().setUserEnabledMkldnn(false);
  const at::Tensor output = recompute(
      [&seen](const at::Tensor& input) {
        seen.push_back(at::globalContext().userEnabledMkldnn());
        return input.square();
      },
      torch::ones({3}).requires_grad_(true));
  at::globalContext().setUserEnabledMkldnn(true);
  output.sum().backward();
  EXPECT_EQ(seen, (std::vector<bool>{false, false}));
  EXPECT_TRUE(at::globalContext().userEnabledMkldnn());
  at::globalContext().setUserEnabledMkldnn(before);
}

// Counts the bytes of tensors on the CPU that this thread makes, less those that it frees.
class Bytes : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void* /*ptr*/, std::int64_t bytes, std::size_t /*allocated*/,
                         std::size_t /*reserved*/, c10::Device /*device*/) override {
    live += bytes;
  }
  [[nodiscard]] bool memoryProfilingEnabled() const override { return true; }

  std::int64_t live = 0;
};

// What the graph of a loss keeps alive.
std::int64_t kept_bytes(Kept kept) {
  BertConfig config = small();
  config.hidden_size = 64;
  config.intermediate_size = 256;
  config.num_hidden_layers = 6;
  BertEncoder encoder(config);
  encoder.set_recompute(kept == Kept::kInputs);
  const TokenMask mask(torch::ones({8, 32}));
  const at::Tensor input = torch::randn({8, 32, 64});
  const auto bytes = std::make_shared<Bytes>();
  const c10::DebugInfoGuard counted(c10::DebugInfoKind::PROFILER_STATE, bytes);
  const at::Tensor loss = encoder.forward(input, mask).sum();
  return bytes->live;
}

// One hidden state is 8 * 32 * 64 numbers of 4 bytes. A layer that keeps all has at least query,
// key, value, what attention gives, both sums before the norms, both results of norms, and twice
// the inner width, 4 hidden states each; one that is computed again its result alone, which is the
// next one's input, and the state of a generator, 5 KB.
TEST(RecomputeTest, KeepsOneHiddenStateOfALayer) {
  constexpr std::int64_t kHidden = 8 * 32 * 64 * 4;
  constexpr std::int64_t kLayers = 6;
  EXPECT_GE(kept_bytes(Kept::kAll), kLayers * 16 * kHidden);
  EXPECT_LE(kept_bytes(Kept::kInputs), kLayers * (kHidden + 6000));
}

class RecomputePartTest : public ::testing::Test {
 protected:
  // x -> weight * x^2, which counts its runs.
  [[nodiscard]] at::Tensor square(const at::Tensor& x) {
    runs_ += 1;
    return weight_ * x * x;
  }
  [[nodiscard]] at::Tensor recomputed(const at::Tensor& x) {
    return recompute([this](const at::Tensor& input) { return square(input); }, x);
  }
  template <class Call>
  static std::string error_of(Call call) {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kPlugin);
      return error.what();
    }
    return "(no error)";
  }

  at::Tensor weight_ = torch::tensor(3.0).requires_grad_(true);
  int runs_ = 0;
};

// y = 3 * 2^2 = 12; dy/dx = 2 * 3 * 2 = 12, dy/dweight = 2^2 = 4.
TEST_F(RecomputePartTest, RunsOnceForwardAndOnceBackward) {
  const at::Tensor x = torch::tensor(2.0).requires_grad_(true);
  const at::Tensor y = recomputed(x);
  EXPECT_EQ(runs_, 1);
  EXPECT_EQ(y.item<double>(), 12);
  y.backward();
  EXPECT_EQ(runs_, 2);
  EXPECT_EQ(x.grad().item<double>(), 12);
  EXPECT_EQ(weight_.grad().item<double>(), 4);
}

TEST_F(RecomputePartTest, ParametersGetGradientsWhereTheInputWantsNone) {
  const at::Tensor x = torch::tensor(2.0);
  recomputed(x).backward();
  EXPECT_FALSE(x.grad().defined());
  EXPECT_EQ(weight_.grad().item<double>(), 4);
}

TEST_F(RecomputePartTest, WhereNobodyWantsAGradientThereIsNoSecondRun) {
  weight_.set_requires_grad(false);
  const at::Tensor x = torch::tensor(2.0);
  EXPECT_FALSE(recomputed(x).requires_grad());
  weight_.set_requires_grad(true);
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(recomputed(x).requires_grad());
}

// z = 3 (3 x^2)^2 = 27 x^4; at 1: dz/dx = 108, dz/dweight = 5 * 3^2 x^4 / 3 * ... = 9 + 18 = 27:
// of the outer weight y^2 = 9, of the inner one 2 * 3 * y * x^2 = 18.
TEST_F(RecomputePartTest, PartsMayHaveParts) {
  const at::Tensor x = torch::tensor(1.0).requires_grad_(true);
  const at::Tensor z =
      recompute([this](const at::Tensor& input) { return square(recomputed(input)); }, x);
  EXPECT_EQ(runs_, 2);
  z.backward();
  EXPECT_EQ(runs_, 5);  // both once more, and the inner one for its own backward pass
  EXPECT_EQ(z.item<double>(), 27);
  EXPECT_EQ(x.grad().item<double>(), 108);
  EXPECT_EQ(weight_.grad().item<double>(), 27);
}

// y = a b_i with b of whole numbers, and nothing where a mask could be.
TEST_F(RecomputePartTest, TakesSeveralInputsOfAllKinds) {
  const at::Tensor a = torch::tensor({2.0, 5.0}).requires_grad_(true);
  const at::Tensor b = torch::tensor({3, 4});
  const auto part = [](const std::vector<at::Tensor>& inputs) {
    EXPECT_FALSE(inputs[2].defined());
    return inputs[0] * inputs[1];
  };
  const at::Tensor y = recompute(part, {a, b, at::Tensor()});
  y.sum().backward();
  EXPECT_TRUE(y.equal(torch::tensor({6.0, 20.0})));
  EXPECT_TRUE(a.grad().equal(torch::tensor({3.0, 4.0})));
}

TEST_F(RecomputePartTest, MayReturnItsInput) {
  const at::Tensor x = torch::tensor(2.0).requires_grad_(true);
  recompute([](const at::Tensor& input) { return input; }, x * 3).backward();
  EXPECT_EQ(x.grad().item<double>(), 3);
}

TEST_F(RecomputePartTest, GradientsOfGradientsAreRefused) {
  const at::Tensor x = torch::tensor(2.0).requires_grad_(true);
  const at::Tensor y = recomputed(x);
  EXPECT_EQ(error_of([&] { torch::autograd::grad({y}, {x}, {}, true, /*create_graph=*/true); }),
            "nn::recompute does not support gradients of gradients, because it adds to the "
            "gradients of all parameters that it finds; set training.recompute = false");
}

TEST_F(RecomputePartTest, GradientsOfChosenTensorsAreRefused) {
  const at::Tensor x = torch::tensor(2.0).requires_grad_(true);
  const at::Tensor y = recomputed(x);
  EXPECT_THAT(error_of([&] { torch::autograd::grad({y}, {x}); }),
              HasSubstr("does not support torch::autograd::grad"));
  EXPECT_FALSE(weight_.grad().defined());
}

TEST_F(RecomputePartTest, AnythingButNumbersIsRefused) {
  const at::Tensor x = torch::tensor(2.0).requires_grad_(true);
  EXPECT_EQ(
      error_of([&] { recompute([](const at::Tensor& input) { return input.gt(0); }, x).sum(); }),
      "a part of nn::recompute returned a tensor of Bool; expected one of floating-point "
      "numbers");
}

// The second run is in other surroundings; they are as they were, also when it fails.
TEST_F(RecomputePartTest, AnErrorOfTheSecondRunComesOutAndLeavesNothingBehind) {
  const at::Tensor x = torch::tensor(2.0).requires_grad_(true);
  const auto part = [this](const at::Tensor& input) {
    EXPECT_TRUE(at::autocast::is_autocast_enabled(at::kCPU));
    const at::Tensor y = square(input) * torch::rand({});
    if (runs_ == 2) throw Error(ErrorKind::kPlugin, "no second time");
    return y;
  };
  at::Tensor y;
  {
    const Bf16 scope;
    y = recompute(part, x);
  }
  torch::manual_seed(9);
  EXPECT_EQ(error_of([&] { y.backward(); }), "no second time");
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
  const at::Tensor found = torch::rand({});
  torch::manual_seed(9);
  EXPECT_TRUE(found.equal(torch::rand({})));
}

TEST_F(RecomputePartTest, AnInputThatHasChangedSinceIsNoticed) {
  const at::Tensor x = torch::tensor(2.0).requires_grad_(true);
  const at::Tensor input = x * 1;
  const at::Tensor y = recomputed(input);
  input.add_(1);
  EXPECT_THROW(y.backward(), c10::Error);
}

}  // namespace
}  // namespace pergola::nn
