// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "host/model/optimizers/multi_tensor.h"

namespace pergola::host {

struct SgdOptions {
  double momentum;
  double dampening;
  double weight_decay;
  bool nesterov;  // needs momentum, and no dampening
  static SgdOptions parse(const Config& options);
};

// sgd: torch.optim.SGD. With momentum m and dampening d, b = m b + (1 - d) g, where the first
// gradient enters whole, and w -= lr b; with nesterov w -= lr (g + m b).
class Sgd final : public MultiTensorOptimizer {
 public:
  static ComponentSpec spec();
  Sgd(const std::vector<ParameterGroup>& groups, const Config& params);

 protected:
  [[nodiscard]] Tensors initial_state(const at::Tensor& parameter,
                                      std::size_t group) const override;
  void update(Batch& batch, double lr, std::size_t group) override;

 private:
  std::vector<SgdOptions> options_;  // of each group
};

}  // namespace pergola::host
