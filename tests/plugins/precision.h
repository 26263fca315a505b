// SPDX-License-Identifier: BSD-3-Clause
// What a model promises under autocast. For the tests of models.
#pragma once

#include "host/device/autocast.h"
#include "plugins/model_testing.h"

#include <functional>

namespace pergola::test {

// Trains one batch in single and in low precision. The losses differ, because products are rounded,
// by at most `bound` of the loss; gradients are finite and, as the weights, in single precision.
// `loss`: of the model, without dropout. Leaves gradients behind.
inline void expect_trains_in(host::Precision precision, torch::nn::Module& model, double bound,
                             const std::function<at::Tensor()>& loss) {
  const double expected = loss().item<double>();
  model.zero_grad();
  at::Tensor low;
  {
    const host::AutocastScope scope(at::kCPU, precision);
    low = loss();
  }
  EXPECT_EQ(low.scalar_type(), at::kFloat);
  EXPECT_NE(low.item<double>(), expected) << "nothing was rounded";
  EXPECT_NEAR(low.item<double>(), expected, bound * std::abs(expected));
  low.backward();
  std::int64_t gradients = 0;
  for (const auto& item : model.named_parameters()) {
    const at::Tensor& gradient = item.value().grad();
    EXPECT_EQ(item.value().scalar_type(), at::kFloat) << item.key();
    if (!gradient.defined()) continue;
    gradients += 1;
    EXPECT_EQ(gradient.scalar_type(), at::kFloat) << item.key();
    EXPECT_TRUE(gradient.isfinite().all().item<bool>()) << item.key();
  }
  EXPECT_GT(gradients, 0);
}

// bfloat16 rounds a number by up to 2^-9 of it, float16 by 2^-12. Errors of the layers add up; ten
// such roundings are far above what was seen, and a wrong loss is further off.
inline constexpr double kBf16Bound = 10.0 / 512;
inline constexpr double kFp16Bound = 10.0 / 4096;

}  // namespace pergola::test
