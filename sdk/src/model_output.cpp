// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/model_output.h"

#include "pergola/error.h"

#include <ATen/ATen.h>

namespace pergola {

at::Tensor total_loss(const LossMap& losses) {
  PERGOLA_ASSERT(!losses.empty());
  at::Tensor total;
  for (const auto& [key, value] : losses) {
    // What is its own mean already costs no operation, nor one of the backward pass.
    const at::Tensor mean = value.dim() == 0 ? value : value.mean();
    total = total.defined() ? total + mean : mean;
  }
  return total;
}

}  // namespace pergola
