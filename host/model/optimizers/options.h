// SPDX-License-Identifier: BSD-3-Clause
// The options that several optimizers have: what spec() says of them, and how they are read.
#pragma once

#include "pergola/component.h"

#include <string>

namespace pergola::host {

// The largest rate, decay, ... of an optimizer. That is far above any use, and the product of two
// is a number of float32: the operators throw for a scalar that is none.
inline constexpr double kHighestOption = 1e15;

// `lr` with a default, a number from 0 to kHighestOption, and so are the others.
[[nodiscard]] ParamSpec lr_param(double fallback);
[[nodiscard]] ParamSpec betas_param();  // [0.9, 0.999]
[[nodiscard]] ParamSpec eps_param(double fallback, const std::string& meaning);
[[nodiscard]] ParamSpec weight_decay_param(double fallback, const std::string& meaning);
[[nodiscard]] ParamSpec maximize_param();

// What `weight_decay` does in the optimizers that add L2 decay to the gradient.
inline constexpr const char* kDecayOfGradient = "this times the weight is added to the gradient";

struct Betas {
  double first;
  double second;
  // Throws Error{kConfig} for what is not a pair of numbers from 0 to below 1.
  static Betas parse(const Config& options);
};

}  // namespace pergola::host
