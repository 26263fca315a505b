// SPDX-License-Identifier: BSD-3-Clause
// The two optimizers that MMF registers itself.
#pragma once

#include "host/model/optimizers/fused_optimizer.h"
#include "host/model/optimizers/options.h"

namespace pergola::host {

struct MmfAdamWOptions {
  Betas betas;
  double eps;
  double weight_decay;
  bool correct_bias;
  static MmfAdamWOptions parse(const Config& options);
};

// adam_w: MMF's, which is that of transformers until its release 4. With adam's m and v,
// w -= lr √(1 - b2^t) / (1 - b1^t) m / (√v + eps), the fraction only with correct_bias: eps is not
// corrected with v, as it is in adamw; then, after that step, w -= lr weight_decay w.
class MmfAdamW : public FusedOptimizer {
 public:
  static ComponentSpec spec();
  MmfAdamW(const std::vector<ParameterGroup>& groups, const Config& params);

 protected:
  MmfAdamW(const std::vector<ParameterGroup>& groups, const Config& params,
           const ComponentSpec& spec);
  void update(Batch& batch, double lr, std::size_t group) override;

 private:
  std::vector<MmfAdamWOptions> options_;  // of each group
};

// adam_w_skip_params_with_zero_grad: adam_w that leaves a parameter and its state alone while its
// whole gradient is zero: no decay, no step of old averages. Which gradients are zero, the CPU has
// to know; all of a step are read at once, so a GPU is waited for once a step.
class MmfAdamWSkip final : public MmfAdamW {
 public:
  static ComponentSpec spec();
  MmfAdamWSkip(const std::vector<ParameterGroup>& groups, const Config& params);
  [[nodiscard]] bool capturable() const override { return false; }

 protected:
  [[nodiscard]] std::vector<bool> used(const Tensors& gradients) const override;
};

}  // namespace pergola::host
