// SPDX-License-Identifier: BSD-3-Clause
// The types of numbers that kernels know.
#pragma once

namespace pergola::cuda {

enum class Type { kFloat, kHalf, kBFloat16 };

}  // namespace pergola::cuda
