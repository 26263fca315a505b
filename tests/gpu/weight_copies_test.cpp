// SPDX-License-Identifier: BSD-3-Clause
// Copies of weights in bfloat16 on a GPU: always what the weights are, whoever changes them.
#include "gpu/fused_adam_kit.h"
#include "host/device/on_stream.h"
#include "host/device/step_graph.h"
#include "pergola/ops.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <string>

namespace pergola::host {
namespace {

class WeightCopiesTest : public FusedAdamGpuTest {
 protected:
  [[nodiscard]] static at::Tensor copy_of(const at::Tensor& weight) {
    const at::NoGradGuard no_grad;
    return c10::Dispatcher::singleton()
        .findSchemaOrThrow("pergola::low_precision_copy", "")
        .typed<at::Tensor(const at::Tensor&)>()
        .call(weight);
  }
  static bool is_copy(const at::Tensor& copy, const at::Tensor& weight) {
    return copy.equal(weight.detach().to(at::kBFloat16));
  }
};

TEST_F(WeightCopiesTest, StayInPlaceAndFollowTheWeight) {
  const at::Tensor weight = numbers(1000, 0).requires_grad_(true);
  const at::Tensor copy = copy_of(weight);
  EXPECT_TRUE(is_copy(copy, weight));
  {
    const at::NoGradGuard no_grad;
    weight.mul_(2);
  }
  EXPECT_FALSE(is_copy(copy, weight));
  EXPECT_EQ(copy_of(weight).data_ptr(), copy.data_ptr());
  EXPECT_TRUE(is_copy(copy, weight));
}

TEST_F(WeightCopiesTest, AreMadeAgainWhereTheMemoryIsExchanged) {
  const at::Tensor weight = numbers(1000, 0).requires_grad_(true);
  static_cast<void>(copy_of(weight));
  at::Tensor(weight).set_data(numbers(1000, 0));
  EXPECT_TRUE(is_copy(copy_of(weight), weight));
}

TEST_F(WeightCopiesTest, AreWrittenByTheStep) {
  for (const std::int64_t offset : {0, 1}) {
    const FusedAdam::Batch all = batch({5, 16385}, offset);
    std::vector<at::Tensor> copies;
    for (const at::Tensor& parameter : all.parameters) copies.push_back(copy_of(parameter));
    FusedAdam({kAdamOptions}, FusedAdam::Rule::kAdamW).step(all, {kRate});
    for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(is_copy(copies[i], all.parameters[i])) << i;
  }
}

// As LibTorch has it for the weight itself: gradients of weights that are no longer are none.
TEST_F(WeightCopiesTest, ThatChangeBeforeTheBackwardPassMakeItThrow) {
  const auto modified = testing::ThrowsMessage<c10::Error>(
      testing::HasSubstr("has been modified by an inplace operation"));
  for (const std::int64_t outputs : {16, 5}) {  // five: of whole packs, the copy's memory goes on
    SCOPED_TRACE(outputs);
    const at::Tensor weight = numbers(outputs * 8, 0).view({outputs, 8}).requires_grad_(true);
    const at::Tensor bias = numbers(outputs, 0).requires_grad_(true);
    const at::Tensor x = numbers(24, 0).view({3, 8}).to(at::kBFloat16).requires_grad_(true);
    const auto forward = [&] { return ops::linear(x, {weight, bias}).sum(); };
    const at::Tensor one = forward();
    const at::Tensor two = forward();  // nothing has changed
    EXPECT_NO_THROW(one.backward());
    EXPECT_NO_THROW(two.backward());

    const at::Tensor before = forward();
    {
      const at::NoGradGuard no_grad;
      weight.add_(1);
    }
    EXPECT_NO_THROW(forward().backward());
    EXPECT_THAT([&] { before.backward(); }, modified);

    const at::Tensor before_step = forward();
    FusedAdam::Batch all = batch({outputs * 8, outputs});
    all.parameters = {weight, bias};
    all.gradients[0] = all.gradients[0].view_as(weight);
    FusedAdam({kAdamOptions}, FusedAdam::Rule::kAdamW).step(all, {kRate});
    EXPECT_THAT([&] { before_step.backward(); }, modified);
  }
}

// A copy is made for each time that the recorded pass asks for it, of numbers that change once.
TEST_F(WeightCopiesTest, OfAWeightThatTheForwardPassChangesAreRecorded) {
  const OnStream stream(device_);
  const at::Tensor weight = numbers(64, 0).view({8, 8}).requires_grad_(true);
  const at::Tensor bias = numbers(8, 0).requires_grad_(true);
  const at::Tensor x = numbers(24, 0).view({3, 8}).to(at::kBFloat16);
  const auto step = [&] {
    {
      const at::NoGradGuard no_grad;
      weight.clamp_(-0.5, 0.5);
    }
    weight.mutable_grad() = at::Tensor();
    ops::linear(ops::linear(x, {weight, bias}), {weight, bias}).sum().backward();
  };
  step();
  const at::Tensor expected = weight.grad().clone();
  std::string problem;
  const auto recorder = make_graph_recorder(device_, problem);
  ASSERT_NE(recorder, nullptr) << problem;
  const auto recorded = recorder->record(step);
  recorded->replay();
  EXPECT_TRUE(weight.grad().equal(expected));
}

TEST_F(WeightCopiesTest, AreWrittenByRecordedSteps) {
  const OnStream stream(device_);
  const FusedAdam::Batch all = batch({20000});
  const at::Tensor& weight = all.parameters[0].requires_grad_(true);
  const at::NoGradGuard no_grad;
  const at::Tensor copy = copy_of(weight);
  FusedAdam adam({kAdamOptions}, FusedAdam::Rule::kAdamW);
  adam.step(all, {kRate});
  std::string problem;
  const auto recorder = make_graph_recorder(device_, problem);
  const auto recorded = recorder->record([&] { adam.step(all, {kRate}); });
  EXPECT_TRUE(is_copy(copy_of(weight), weight));
  for (int i = 0; i < 2; ++i) {
    recorded->replay();
    EXPECT_TRUE(is_copy(copy, weight));
  }
  EXPECT_EQ(copy_of(weight).data_ptr(), copy.data_ptr());
}

TEST_F(WeightCopiesTest, AreRefreshedBeforeRecordedWorkThatReadsThem) {
  const OnStream stream(device_);
  const at::Tensor weight = numbers(1000, 0);
  const at::NoGradGuard no_grad;
  const at::Tensor seen = at::empty_like(copy_of(weight));
  seen.copy_(copy_of(weight));  // loads the kernel
  std::string problem;
  const auto recorder = make_graph_recorder(device_, problem);
  const auto recorded = recorder->record([&] { seen.copy_(copy_of(weight)); });
  weight.mul_(2);
  recorded->replay();
  EXPECT_TRUE(is_copy(seen, weight));
  weight.set_data(numbers(1000, 0));  // as averaged weights are put in place
  recorded->replay();
  EXPECT_TRUE(is_copy(seen, weight));
}

// Another optimizer's replays change the weight, and nobody counts that.
TEST_F(WeightCopiesTest, OfWeightsThatOthersTrainAreMadeEachTime) {
  const OnStream stream(device_);
  const at::Tensor weight = numbers(1000, 0).requires_grad_(true);
  const at::NoGradGuard no_grad;
  const at::Tensor seen = at::empty_like(copy_of(weight));
  const auto step = [&] {
    seen.copy_(copy_of(weight));
    weight.mul_(1.5);
  };
  step();
  std::string problem;
  const auto recorder = make_graph_recorder(device_, problem);
  const auto recorded = recorder->record(step);
  for (int i = 0; i < 3; ++i) {
    const at::Tensor before = weight.clone();
    recorded->replay();
    EXPECT_TRUE(is_copy(seen, before)) << i;
  }
  EXPECT_TRUE(is_copy(copy_of(weight), weight));
}

// The graph does not know of it.
TEST_F(WeightCopiesTest, ThatComeAfterARecordingAreNotTrusted) {
  const OnStream stream(device_);
  const FusedAdam::Batch all = batch({1000});
  all.parameters[0].requires_grad_(true);
  FusedAdam adam({kAdamOptions}, FusedAdam::Rule::kAdamW);
  adam.step(all, {kRate});
  std::string problem;
  const auto recorder = make_graph_recorder(device_, problem);
  const auto recorded = recorder->record([&] { adam.step(all, {kRate}); });
  EXPECT_TRUE(is_copy(copy_of(all.parameters[0]), all.parameters[0]));
  recorded->replay();
  EXPECT_TRUE(is_copy(copy_of(all.parameters[0]), all.parameters[0]));
}

// Predictions ask for no copy twice: nobody changes the weight. Whether a copy was made again is
// seen where somebody has written into it. "" or what is wrong.
std::string problem_of_copies(const at::Tensor& weight, const at::Tensor& copy,
                              const std::function<at::Tensor()>& copy_now) {
  const at::Tensor seen = at::empty_like(copy);
  seen.copy_(copy);  // loads the kernel
  std::string problem;
  const auto recorder = make_graph_recorder(weight.device(), problem);
  if (!recorder) return problem;
  const auto recorded = recorder->record([&] { seen.copy_(copy_now()); });
  copy.zero_();
  recorded->replay();
  if (seen.abs().max().item<float>() != 0) return "a copy was made of a weight as it was";
  weight.mul_(2);
  recorded->replay();
  return seen.equal(weight.to(at::kBFloat16)) ? "" : "no copy was made of a weight that changed";
}

// In a process of its own: the other tests record steps, after which no weight is trusted.
TEST_F(WeightCopiesTest, OfWeightsThatNoRecordedStepChangesAreMadeWhenOthersChangeThem) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto examine = [&] {
    const OnStream stream(device_);
    const at::Tensor weight = numbers(1000, 0).requires_grad_(true);
    const at::NoGradGuard no_grad;
    const std::string problem =
        problem_of_copies(weight, copy_of(weight), [&] { return copy_of(weight); });
    std::fprintf(stderr, "found: %s\n", problem.empty() ? "nothing" : problem.c_str());
    ::_exit(problem.empty() ? 0 : 1);
  };
  EXPECT_EXIT(examine(), testing::ExitedWithCode(0), "found: nothing");
}

}  // namespace
}  // namespace pergola::host
