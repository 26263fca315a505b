// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/optimizers/options.h"

namespace pergola::host {

ParamSpec lr_param(double fallback) {
  return {.name = "lr",
          .fallback = fallback,
          .meaning = "the rate before any schedule",
          .low = 0,
          .high = kHighestOption};
}

ParamSpec betas_param() {
  return {.name = "betas",
          .fallback = Value::Array{0.9, 0.999},
          .meaning = "decay of the averages of the gradient and of its square, each below 1"};
}

ParamSpec eps_param(double fallback, const std::string& meaning) {
  return {
      .name = "eps", .fallback = fallback, .meaning = meaning, .low = 0, .high = kHighestOption};
}

ParamSpec weight_decay_param(double fallback, const std::string& meaning) {
  return {.name = "weight_decay",
          .fallback = fallback,
          .meaning = meaning,
          .low = 0,
          .high = kHighestOption};
}

ParamSpec maximize_param() {
  return {.name = "maximize", .fallback = false, .meaning = "climb instead of descend"};
}

Betas Betas::parse(const Config& options) {
  const auto betas = options.get<std::vector<double>>("betas");
  const auto in_range = [](double beta) { return beta >= 0 && beta < 1; };
  if (betas.size() != 2 || !in_range(betas[0]) || !in_range(betas[1])) {
    throw options.error("betas",
                        "is not a pair of numbers from 0 to below 1, such as [0.9, 0.999]");
  }
  return {betas[0], betas[1]};
}

}  // namespace pergola::host
