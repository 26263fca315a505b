// SPDX-License-Identifier: BSD-3-Clause
// The optimizers that Pergola brings: torch.optim's sgd, adam, adamw and adamax, with its names,
// defaults and numbers, each as one fused or multi-tensor operation for each group. State tensors
// have torch's names, so that a checkpoint says what they are.
#pragma once

#include "pergola/optimizer.h"

#include <cstdint>
#include <string>
#include <vector>

namespace pergola::host {

// The part that they share: collects a group's parameters that have gradients, with their state.
class MultiTensorOptimizer : public Optimizer {
 public:
  void step() final;
  [[nodiscard]] std::map<std::string, at::Tensor> state_dict() const final;
  void load_state_dict(const std::map<std::string, at::Tensor>& state) final;

 protected:
  // What one update works on: parameter i, its gradient, and state [k][i] for state name k.
  struct Batch {
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor> gradients;
    std::vector<std::vector<at::Tensor>> state;
    std::vector<bool> first;  // whether this is the first update of parameter i
  };

  MultiTensorOptimizer(std::vector<ParameterGroup> groups, const Config& params,
                       std::vector<std::string> state_names, double default_lr);

  // State of a parameter before its first update, in the order of the state names.
  [[nodiscard]] virtual std::vector<at::Tensor> initial_state(
      const at::Tensor& parameter) const = 0;
  // One update; `options` are the group's, over `optimizer.params`.
  virtual void update(Batch& batch, double lr, const Config& options) = 0;

 private:
  struct Slot {
    std::string name;
    std::vector<at::Tensor> state;  // empty before the first update
  };
  std::vector<Config> options_;           // one for each group
  std::vector<std::string> state_names_;  // what a slot's tensors are
  std::vector<std::vector<Slot>> slots_;  // [group][parameter]
};

// sgd: lr (no default), momentum 0, dampening 0, weight_decay 0, nesterov false.
class Sgd final : public MultiTensorOptimizer {
 public:
  Sgd(std::vector<ParameterGroup> groups, const Config& params);

 protected:
  [[nodiscard]] std::vector<at::Tensor> initial_state(const at::Tensor& parameter) const override;
  void update(Batch& batch, double lr, const Config& options) override;

 private:
  bool has_momentum_;
};

// adam: lr 1e-3, betas [0.9, 0.999], eps 1e-8, weight_decay 0 (added to the gradient), amsgrad
// false. Kingma, Ba, "Adam", 2015.
class Adam : public MultiTensorOptimizer {
 public:
  Adam(std::vector<ParameterGroup> groups, const Config& params);

 protected:
  enum class Decay { kGradient, kDecoupled };
  Adam(std::vector<ParameterGroup> groups, const Config& params, Decay decay);
  [[nodiscard]] std::vector<at::Tensor> initial_state(const at::Tensor& parameter) const override;
  void update(Batch& batch, double lr, const Config& options) override;

 private:
  Decay decay_;
  bool amsgrad_;
};

// adamw: adam with weight_decay 0.01 taken off the weights directly. Loshchilov, Hutter,
// "Decoupled weight decay regularization", 2019.
class AdamW final : public Adam {
 public:
  AdamW(std::vector<ParameterGroup> groups, const Config& params);
};

// adamax: lr 2e-3, betas [0.9, 0.999], eps 1e-8, weight_decay 0; Adam with the infinity norm.
class Adamax final : public MultiTensorOptimizer {
 public:
  Adamax(std::vector<ParameterGroup> groups, const Config& params);

 protected:
  [[nodiscard]] std::vector<at::Tensor> initial_state(const at::Tensor& parameter) const override;
  void update(Batch& batch, double lr, const Config& options) override;
};

}  // namespace pergola::host
