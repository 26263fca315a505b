// SPDX-License-Identifier: BSD-3-Clause
// The options that several optimizers have: what spec() says of them, and how they are read.
#pragma once

#include "pergola/component.h"

#include <string>

namespace pergola::host {

// `lr` with a default, a number >= 0, and so are the others.
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
