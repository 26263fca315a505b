// SPDX-License-Identifier: BSD-3-Clause
// The optimizers that Pergola brings: torch.optim's sgd, adam, adamw and adamax, with its names,
// defaults, bounds and numbers, each as one fused or multi-tensor operation for each group. State
// tensors have torch's names, so that a checkpoint says what they are.
//
// Constructors throw Error{kConfig} for an option of the wrong type, out of bounds or missing, and
// for an unknown key of `params`; Error{kPlugin} for an unknown key of a group's options.
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

  // `keys`: the options that there are. `state_names`: what a parameter's state is, at most.
  MultiTensorOptimizer(const std::vector<ParameterGroup>& groups, const Config& params,
                       const std::vector<std::string>& keys, std::vector<std::string> state_names,
                       double default_lr);

  // State of a parameter of group `group` before its first update, in the order of the state names;
  // a group that needs less leaves out the last ones.
  [[nodiscard]] virtual std::vector<at::Tensor> initial_state(const at::Tensor& parameter,
                                                              std::size_t group) const = 0;
  // One update of parameters of group `group`.
  virtual void update(Batch& batch, double lr, std::size_t group) = 0;

 private:
  struct Slot {
    std::string name;
    std::vector<at::Tensor> state;  // empty before the first update
  };
  std::vector<std::string> state_names_;  // what a slot's tensors are
  std::vector<std::vector<Slot>> slots_;  // [group][parameter]
};

struct SgdOptions {
  double momentum;
  double dampening;
  double weight_decay;
  bool nesterov;  // needs momentum, and no dampening
  static SgdOptions parse(const Config& options);
};

// adam's, adamw's and adamax's.
struct AdamOptions {
  double beta1;
  double beta2;
  double eps;
  double weight_decay;
  bool amsgrad;
  static AdamOptions parse(const Config& options, double default_decay);
};

// sgd: lr (no default), momentum 0, dampening 0, weight_decay 0, nesterov false.
class Sgd final : public MultiTensorOptimizer {
 public:
  Sgd(const std::vector<ParameterGroup>& groups, const Config& params);

 protected:
  [[nodiscard]] std::vector<at::Tensor> initial_state(const at::Tensor& parameter,
                                                      std::size_t group) const override;
  void update(Batch& batch, double lr, std::size_t group) override;

 private:
  std::vector<SgdOptions> options_;  // one for each group, as in the classes below
};

// adam: lr 1e-3, betas [0.9, 0.999], eps 1e-8, weight_decay 0 (added to the gradient), amsgrad
// false. Kingma, Ba, "Adam", 2015.
class Adam : public MultiTensorOptimizer {
 public:
  Adam(const std::vector<ParameterGroup>& groups, const Config& params);

 protected:
  enum class Decay { kGradient, kDecoupled };
  Adam(const std::vector<ParameterGroup>& groups, const Config& params, Decay decay);
  [[nodiscard]] std::vector<at::Tensor> initial_state(const at::Tensor& parameter,
                                                      std::size_t group) const override;
  void update(Batch& batch, double lr, std::size_t group) override;

 private:
  Decay decay_;
  std::vector<AdamOptions> options_;
};

// adamw: adam with weight_decay 0.01 taken off the weights directly. Loshchilov, Hutter,
// "Decoupled weight decay regularization", 2019.
class AdamW final : public Adam {
 public:
  AdamW(const std::vector<ParameterGroup>& groups, const Config& params);
};

// adamax: lr 2e-3, betas [0.9, 0.999], eps 1e-8, weight_decay 0; Adam with the infinity norm.
class Adamax final : public MultiTensorOptimizer {
 public:
  Adamax(const std::vector<ParameterGroup>& groups, const Config& params);

 protected:
  [[nodiscard]] std::vector<at::Tensor> initial_state(const at::Tensor& parameter,
                                                      std::size_t group) const override;
  void update(Batch& batch, double lr, std::size_t group) override;

 private:
  std::vector<AdamOptions> options_;
};

}  // namespace pergola::host
