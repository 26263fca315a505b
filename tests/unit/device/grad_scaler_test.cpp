// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/grad_scaler.h"

#include "pergola/error.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace pergola::host {
namespace {

using ::testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class NoOptimizer final : public Optimizer {
 public:
  explicit NoOptimizer(std::vector<ParameterGroup> groups)
      : Optimizer(std::move(groups), {0.1, 0.1}) {}
  void step() override {}
  [[nodiscard]] std::map<std::string, at::Tensor> state_dict() const override { return {}; }
  void load_state_dict(const std::map<std::string, at::Tensor>& /*state*/) override {}
};

class GradScalerTest : public ::testing::Test {
 protected:
  // Gradients of a and b; the one of c stays undefined.
  void set_gradients(const at::Tensor& a, const at::Tensor& b) {
    a_.mutable_grad() = a.clone();
    b_.mutable_grad() = b.clone();
  }
  // An update with a gradient that is infinite, or not.
  bool update(GradScaler& scaler, bool overflow) {
    set_gradients(at::full({3}, overflow ? kInfinity : 1.0F), at::ones({3}));
    const bool skipped = scaler.unscale(optimizer_);
    scaler.update();
    return skipped;
  }

  at::Tensor a_ = at::zeros({3}).requires_grad_(true);
  at::Tensor b_ = at::zeros({3}).requires_grad_(true);
  at::Tensor c_ = at::zeros({3}).requires_grad_(true);
  NoOptimizer optimizer_{
      {{.names = {"a"}, .parameters = {a_}}, {.names = {"b", "c"}, .parameters = {b_, c_}}}};
};

// 65536 is 2^16: multiplying and dividing by it loses no bit, small numbers aside.
TEST_F(GradScalerTest, ScalesTheLossAndTakesItBackFromTheGradients) {
  GradScaler scaler(at::kCPU);
  const at::Tensor loss = scaler.scale((a_ * 0.3).sum() + (b_ * 1e-6).sum());
  EXPECT_EQ(scaler.scale(at::ones({}, at::kHalf)).item<float>(), 65536.0F);
  loss.backward();
  EXPECT_FALSE(scaler.unscale(optimizer_));
  EXPECT_TRUE(a_.grad().equal(at::full({3}, 0.3F)));
  EXPECT_TRUE(b_.grad().equal(at::full({3}, 1e-6F)));
  EXPECT_FALSE(c_.grad().defined());
}

TEST_F(GradScalerTest, OneNumberThatIsNotFiniteSkipsTheStep) {
  for (const float number : {kInfinity, -kInfinity, kNan}) {
    GradScaler scaler(at::kCPU);
    at::Tensor gradient = at::ones({3});
    gradient[1] = number;
    set_gradients(at::ones({3}), gradient);
    EXPECT_TRUE(scaler.unscale(optimizer_));
    scaler.update();
    set_gradients(at::ones({3}), at::ones({3}));
    EXPECT_FALSE(scaler.unscale(optimizer_));  // it is not remembered
  }
}

// Who records its work has to find all of it in the same memory.
TEST_F(GradScalerTest, TheOverflowStaysInItsMemoryUntilTheNextUpdate) {
  GradScaler scaler(at::kCPU);
  const at::Tensor flag = scaler.overflow();
  for (const bool overflow : {false, true, false}) {
    set_gradients(at::full({3}, overflow ? kInfinity : 1.0F), at::ones({3}));
    scaler.unscale_gradients(optimizer_);
    scaler.update();
    EXPECT_EQ(flag.item<float>() != 0, overflow);
    EXPECT_EQ(scaler.overflowed(), overflow);
    EXPECT_TRUE(scaler.overflow().is_same(flag));
  }
}

// PyTorch's rule: half after an overflow, twice after 2000 updates in a row without one.
TEST_F(GradScalerTest, TheScaleIsThatOfPyTorch) {
  GradScaler scaler(at::kCPU);
  for (int i = 0; i < 1999; ++i) EXPECT_FALSE(update(scaler, false));
  EXPECT_EQ(scaler.current_scale(), 65536);
  EXPECT_EQ(scaler.growth_tracker(), 1999);
  EXPECT_TRUE(update(scaler, true));
  EXPECT_EQ(scaler.current_scale(), 32768);
  EXPECT_EQ(scaler.growth_tracker(), 0);
  for (int i = 0; i < 2000; ++i) update(scaler, false);
  EXPECT_EQ(scaler.current_scale(), 65536);
  EXPECT_EQ(scaler.growth_tracker(), 0);
}

// LibTorch's own kernel, which PyTorch's scaler calls, on 1000 updates of which one in 7 overflows,
// with factors that round in float32: 0.3 once and 1.7 three times in 7 updates make 1.47, so the
// scale grows to the largest number.
TEST_F(GradScalerTest, EveryScaleIsThatOfLibTorchsKernel) {
  const GradScalerOptions options{
      .init_scale = 1000, .growth_factor = 1.7, .backoff_factor = 0.3, .growth_interval = 2};
  GradScaler scaler(at::kCPU, options);
  at::Tensor scale = at::full({}, 1000, at::kFloat);
  at::Tensor tracker = at::zeros({}, at::kInt);
  for (int i = 0; i < 1000; ++i) {
    const bool overflow = i % 7 == 0;
    update(scaler, overflow);
    at::_amp_update_scale_(scale, tracker, at::full({}, overflow ? 1.0F : 0.0F), 1.7, 0.3, 2);
    ASSERT_EQ(scaler.current_scale(), scale.item<float>()) << i;
    ASSERT_EQ(scaler.growth_tracker(), tracker.item<int>()) << i;
  }
}

// 2^127 twice is beyond float32.
TEST_F(GradScalerTest, TheScaleStaysFinite) {
  GradScaler scaler(at::kCPU, {.init_scale = 0x1p127, .growth_interval = 1});
  update(scaler, false);
  EXPECT_EQ(scaler.current_scale(), 0x1p127);
}

// Nobody need have asked in between.
TEST_F(GradScalerTest, OneOverflowTooManyIsRemembered) {
  GradScaler scaler(at::kCPU);
  for (int i = 0; i < 33; ++i) {
    set_gradients(at::full({3}, i < 31 ? kInfinity : 1.0F), at::ones({3}));
    scaler.unscale_gradients(optimizer_);
    scaler.update();
  }
  EXPECT_EQ(scaler.overflow().item<float>(), 0);
  EXPECT_THROW(static_cast<void>(scaler.overflowed()), Error);
}

// 65536 * 2^-165 is 0 in float32, and a state with that is refused.
TEST_F(GradScalerTest, AScaleThatOverflowsTillItIsReadCanBeSaved) {
  GradScaler scaler(at::kCPU);
  for (int i = 0; i < 200; ++i) {
    set_gradients(at::full({3}, kInfinity), at::ones({3}));
    scaler.unscale_gradients(optimizer_);
    scaler.update();
  }
  GradScaler resumed(at::kCPU);
  resumed.load_state_dict(scaler.state_dict());
  EXPECT_EQ(resumed.current_scale(), scaler.current_scale());
}

// 65536 * 2^-30 = 2^-14 = 6.1e-5 is the first scale below 1e-4.
TEST_F(GradScalerTest, OverflowsWithoutEndAreAnError) {
  GradScaler scaler(at::kCPU);
  for (int i = 0; i < 30; ++i) EXPECT_TRUE(update(scaler, true));
  try {
    update(scaler, true);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNan);
    EXPECT_EQ(std::string(error.what()),
              "gradients are not finite numbers although fp16's loss scale is down at 6.10352e-05; "
              "they are NaN or too large for float16: use training.precision = \"bf16\", lower "
              "optimizer.params.lr, or find where they come from with training.precision = "
              "\"fp32\" and training.detect_anomaly = true");
  }
}

TEST_F(GradScalerTest, AnUpdateThatIsDoneAnewCountsOnce) {
  GradScaler scaler(at::kCPU);
  update(scaler, false);
  scaler.keep();
  for (const bool overflow : {true, false}) {
    update(scaler, overflow);
    scaler.restore();
    EXPECT_EQ(scaler.current_scale(), 65536);
    EXPECT_EQ(scaler.growth_tracker(), 1);
  }
}

TEST_F(GradScalerTest, GradientsOfSeveralTypesAreUnscaled) {
  at::Tensor wide = at::zeros({2}, at::kDouble).requires_grad_(true);
  wide.mutable_grad() = at::full({2}, 65536.0, at::kDouble);
  NoOptimizer optimizer(
      {{.names = {"a"}, .parameters = {a_}}, {.names = {"wide"}, .parameters = {wide}}});
  a_.mutable_grad() = at::full({3}, 65536.0F);
  EXPECT_FALSE(GradScaler(at::kCPU).unscale(optimizer));
  EXPECT_TRUE(wide.grad().equal(at::ones({2}, at::kDouble)));
  EXPECT_TRUE(a_.grad().equal(at::ones({3})));
}

TEST_F(GradScalerTest, GoesOnFromItsState) {
  const GradScalerOptions options{.init_scale = 0.1, .growth_factor = 1.7, .growth_interval = 3};
  GradScaler one(at::kCPU, options);
  update(one, true);
  update(one, false);
  GradScaler other(at::kCPU, options);
  other.load_state_dict(one.state_dict());
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(other.state_dict(), one.state_dict()) << i;
    update(one, false);
    update(other, false);
  }
}

TEST_F(GradScalerTest, AStateThatIsNoneIsRefused) {
  const auto table = [](Value scale, Value tracker) {
    return Value(Value::Table{{"scale", std::move(scale)}, {"growth_tracker", std::move(tracker)}});
  };
  for (const Value& state :
       {Value(Value::Table{}), table(0.0, 1), table(-1.0, 1), table(1e39, 1), table(1.0, -1),
        table(1.0, std::int64_t{1} << 31), table(Value(), 1), table(1.0, "one")}) {
    GradScaler scaler(at::kCPU);
    try {
      scaler.load_state_dict(state);
      FAIL() << to_string(state);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
    }
    EXPECT_EQ(scaler.current_scale(), 65536);
  }
}

}  // namespace
}  // namespace pergola::host
