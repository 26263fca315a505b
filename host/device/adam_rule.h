// SPDX-License-Identifier: BSD-3-Clause
// What the optimizers say to pergola::adam_step, and its kernels understand by it. No LibTorch
// here.
#pragma once

#include <cstddef>

namespace pergola {

// kAdamW takes weight decay from the parameter; so does kMmfAdamW, after the step, whose eps comes
// before the correction by 1 - beta2^t. The others add it to the gradient.
enum class AdamRule { kAdam, kAdamW, kAdamax, kMmfAdamW };

// Numbers of a group, in this order: beta1, beta2, eps, weight decay.
inline constexpr std::size_t kAdamOptions = 4;

}  // namespace pergola
