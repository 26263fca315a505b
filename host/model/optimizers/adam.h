// SPDX-License-Identifier: BSD-3-Clause
// Adam and its kin, as torch.optim has them. With averages m of the gradient and v of its square
// (decay betas), and t updates: m' = m / (1 - b1^t), v' = v / (1 - b2^t), w -= lr m' / (√v' + eps).
#pragma once

#include "host/model/optimizers/fused_optimizer.h"
#include "host/model/optimizers/multi_tensor.h"
#include "host/model/optimizers/options.h"

namespace pergola::host {

// Of all classes here; those that a class does not have are 0 or false.
struct AdamOptions {
  Betas betas;
  double eps;
  double weight_decay;
  bool amsgrad;
  double momentum_decay;
  bool decoupled_weight_decay;
  bool maximize;
  static AdamOptions parse(const Config& options);
};

// Moves m and v by one update; they are lists of a tensor for each gradient.
void update_moments(const std::vector<at::Tensor>& m, const std::vector<at::Tensor>& v,
                    const std::vector<at::Tensor>& gradients, const Betas& betas);

// adam: weight decay is added to the gradient. Kingma, Ba, "Adam", 2015.
class Adam : public FusedOptimizer {
 public:
  static ComponentSpec spec();
  Adam(const std::vector<ParameterGroup>& groups, const Config& params);

 protected:
  enum class Decay { kGradient, kDecoupled };
  Adam(const std::vector<ParameterGroup>& groups, const Config& params, const ComponentSpec& spec,
       Decay decay);
  [[nodiscard]] Tensors initial_state(const at::Tensor& parameter,
                                      std::size_t group) const override;
  void update(Batch& batch, double lr, std::size_t group) override;

 private:
  Decay decay_;
  std::vector<AdamOptions> options_;  // of each group, as in the classes below
};

// adamw: w is scaled by 1 - lr weight_decay before the step. Loshchilov, Hutter, "Decoupled weight
// decay regularization", 2019.
class AdamW final : public Adam {
 public:
  static ComponentSpec spec();
  AdamW(const std::vector<ParameterGroup>& groups, const Config& params);
};

// adamax: with u = max(b2 u, |g| + eps) instead of √v', w -= lr m' / u.
class Adamax final : public FusedOptimizer {
 public:
  static ComponentSpec spec();
  Adamax(const std::vector<ParameterGroup>& groups, const Config& params);

 protected:
  void update(Batch& batch, double lr, std::size_t group) override;

 private:
  std::vector<AdamOptions> options_;
};

// nadam: Adam with Nesterov's look ahead, whose momentum grows over the updates: with
// mu_t = b1 (1 - 0.96^(t momentum_decay) / 2) and P_t the product of mu_1 .. mu_t,
// w -= lr ((1 - mu_t) / (1 - P_t) g + mu_(t+1) / (1 - P_(t+1)) m) / (√v' + eps). Dozat, 2016.
class Nadam final : public MultiTensorOptimizer {
 public:
  static ComponentSpec spec();
  Nadam(const std::vector<ParameterGroup>& groups, const Config& params);

 protected:
  [[nodiscard]] Tensors initial_state(const at::Tensor& parameter,
                                      std::size_t group) const override;
  void update(Batch& batch, double lr, std::size_t group) override;

 private:
  std::vector<AdamOptions> options_;
};

}  // namespace pergola::host
