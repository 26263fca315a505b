// SPDX-License-Identifier: BSD-3-Clause
// Optimizers that divide each gradient by the size of those before it.
#pragma once

#include "host/model/optimizers/multi_tensor.h"

namespace pergola::host {

struct AdagradOptions {
  double lr_decay;
  double weight_decay;
  double initial_accumulator_value;
  double eps;
  static AdagradOptions parse(const Config& options);
};

// adagrad: torch.optim.Adagrad. s += g², w -= lr / (1 + (t - 1) lr_decay) g / (√s + eps).
// Duchi, Hazan, Singer, 2011.
class Adagrad final : public MultiTensorOptimizer {
 public:
  static ComponentSpec spec();
  Adagrad(const std::vector<ParameterGroup>& groups, const Config& params);

 protected:
  [[nodiscard]] Tensors initial_state(const at::Tensor& parameter,
                                      std::size_t group) const override;
  void update(Batch& batch, double lr, std::size_t group) override;

 private:
  std::vector<AdagradOptions> options_;  // of each group
};

struct RmsPropOptions {
  double alpha;
  double eps;
  double weight_decay;
  double momentum;
  bool centered;
  static RmsPropOptions parse(const Config& options);
};

// rmsprop: torch.optim.RMSprop. s = alpha s + (1 - alpha) g², w -= lr g / (√s + eps); centered
// takes the square of the mean gradient off s, momentum sums the steps up. Hinton, 2012.
class RmsProp final : public MultiTensorOptimizer {
 public:
  static ComponentSpec spec();
  RmsProp(const std::vector<ParameterGroup>& groups, const Config& params);

 protected:
  [[nodiscard]] Tensors initial_state(const at::Tensor& parameter,
                                      std::size_t group) const override;
  void update(Batch& batch, double lr, std::size_t group) override;

 private:
  std::vector<RmsPropOptions> options_;  // of each group
};

}  // namespace pergola::host
