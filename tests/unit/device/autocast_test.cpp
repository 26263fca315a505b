// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/autocast.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>

#include <gtest/gtest.h>

#include <stdexcept>

namespace pergola::host {
namespace {

// The type that a matrix product of float32 matrices has now.
at::ScalarType product_type() {
  const at::Tensor matrix = at::ones({2, 2});
  return matrix.mm(matrix).scalar_type();
}

TEST(AutocastScopeTest, ProductsAreInTheTypeThatThePrecisionNames) {
  for (const auto& [precision, expected] :
       {std::pair(Precision::kFp32, at::kFloat), std::pair(Precision::kTf32, at::kFloat),
        std::pair(Precision::kBf16, at::kBFloat16), std::pair(Precision::kFp16, at::kHalf)}) {
    const AutocastScope scope(at::kCPU, precision);
    EXPECT_EQ(product_type(), expected);
  }
  EXPECT_EQ(product_type(), at::kFloat);
}

TEST(AutocastScopeTest, AnotherKindOfDeviceIsLeftAlone) {
  const AutocastScope scope(c10::Device(c10::kCUDA, 0), Precision::kBf16);
  EXPECT_EQ(product_type(), at::kFloat);
}

TEST(AutocastScopeTest, ScopesNestAndEachBringsBackWhatWasThere) {
  const at::ScalarType before = at::autocast::get_autocast_dtype(at::kCPU);
  {
    const AutocastScope outer(at::kCPU, Precision::kFp16);
    {
      const AutocastScope inner(at::kCPU, Precision::kBf16);
      EXPECT_EQ(product_type(), at::kBFloat16);
      const AutocastScope nothing(at::kCPU, Precision::kFp32);
      EXPECT_EQ(product_type(), at::kBFloat16);
    }
    EXPECT_EQ(product_type(), at::kHalf);
  }
  EXPECT_EQ(at::autocast::get_autocast_dtype(at::kCPU), before);
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
}

TEST(AutocastScopeTest, AnExceptionEndsIt) {
  try {
    const AutocastScope scope(at::kCPU, Precision::kBf16);
    throw std::runtime_error("forward() failed");
  } catch (const std::runtime_error&) {
  }
  EXPECT_EQ(product_type(), at::kFloat);
}

// A weight that an optimizer has changed is converted anew by the next scope.
TEST(AutocastScopeTest, ConvertedWeightsGoWithTheOutermostScope) {
  at::Tensor weight = at::ones({2, 2}).requires_grad_(true);
  const auto product = [&] { return at::ones({2, 2}).mm(weight)[0][0].item<float>(); };
  {
    const AutocastScope outer(at::kCPU, Precision::kBf16);
    const AutocastScope inner(at::kCPU, Precision::kBf16);
    EXPECT_EQ(product(), 2);
  }
  {
    const at::NoGradGuard no_grad;
    weight.fill_(2);
  }
  const AutocastScope scope(at::kCPU, Precision::kBf16);
  EXPECT_EQ(product(), 4);
}

TEST(ApplyPrecisionTest, IsNothingOnTheCpu) {
  const bool before = at::globalContext().allowTF32CuBLAS();
  apply_precision(Precision::kTf32, at::kCPU);
  EXPECT_EQ(at::globalContext().allowTF32CuBLAS(), before);
}

}  // namespace
}  // namespace pergola::host
