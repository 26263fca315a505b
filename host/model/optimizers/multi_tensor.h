// SPDX-License-Identifier: BSD-3-Clause
// What the host's optimizers share: the options of each group, the state by its names, and a step
// that hands all parameters of a group that have gradients to one update, which makes few calls of
// LibTorch's fused or multi-tensor operators. State tensors have torch's names, so that a
// checkpoint says what they are; parameters without a gradient stay as they are and get no state.
//
// Constructors throw Error{kConfig} for an option that spec() does not allow, or that is not
// finite, in `params` and in a group's options alike; Error{kPlugin} for an unknown key of a
// group's options.
#pragma once

#include "pergola/component.h"
#include "pergola/optimizer.h"

#include <ATen/core/Scalar.h>

#include <cstdint>
#include <string>
#include <vector>

namespace pergola::host {

class MultiTensorOptimizer : public Optimizer {
 public:
  void step() final;
  [[nodiscard]] std::map<std::string, at::Tensor> state_dict() const final;
  void load_state_dict(const std::map<std::string, at::Tensor>& state) final;

 protected:
  using Tensors = std::vector<at::Tensor>;
  // What one update works on: parameter i, its gradient, and state [k][i] for state name k, which
  // is undefined where initial_state() leaves it out. All parameters have one type.
  struct Batch {
    Tensors parameters;
    Tensors gradients;
    std::vector<Tensors> state;
    std::vector<bool> first;          // whether this is the first update of parameter i
    std::vector<std::size_t> groups;  // of parameter i
  };

  // `spec`: that of the class. `state_names`: what a parameter's state is, at most.
  MultiTensorOptimizer(const std::vector<ParameterGroup>& groups, const Config& params,
                       const ComponentSpec& spec, std::vector<std::string> state_names);

  // What `parse` makes of each group's options, which are complete.
  template <class Parse>
  [[nodiscard]] auto parse_options(Parse parse) const {
    std::vector<decltype(parse(options_.front()))> parsed;
    parsed.reserve(options_.size());
    for (const Config& options : options_) parsed.push_back(parse(options));
    return parsed;
  }

  // State of a parameter of group `group` before its first update: a tensor for each state name,
  // undefined for what this one does not need. The default: zero_steps(), and zeros for each other.
  [[nodiscard]] virtual Tensors initial_state(const at::Tensor& parameter, std::size_t group) const;
  // One update of parameters of group `group`.
  virtual void update(Batch& batch, double lr, std::size_t group) = 0;
  // Whether a parameter of group `group` is updated with others of all groups, by update_joined();
  // the default says no.
  [[nodiscard]] virtual bool joins(const at::Tensor& parameter, std::size_t group) const;
  virtual void update_joined(Batch& batch);
  // Which of all gradients of a step are used; the default uses all. Called once a step.
  [[nodiscard]] virtual std::vector<bool> used(const Tensors& gradients) const;

 private:
  struct Slot {
    std::string name;
    Tensors state;  // empty before the first update
  };

  MultiTensorOptimizer(const std::vector<ParameterGroup>& groups, std::vector<Config> options,
                       std::vector<std::string> state_names);
  void add_to(Batch& batch, std::size_t group, std::size_t index);
  [[nodiscard]] std::size_t load_slot(Slot& slot, const std::map<std::string, at::Tensor>& state,
                                      const at::Tensor& parameter, std::size_t group) const;

  std::vector<Config> options_;           // of each group
  std::vector<bool> maximize_;            // of each group
  std::vector<std::string> state_names_;  // what a slot's tensors are
  std::vector<std::vector<Slot>> slots_;  // [group][parameter]
};

// torch adds L2 decay to the gradient; a new list, because gradients are not ours to change.
[[nodiscard]] std::vector<at::Tensor> decayed(const std::vector<at::Tensor>& gradients,
                                              const std::vector<at::Tensor>& parameters,
                                              double decay);

[[nodiscard]] at::Tensor zeros_of(const at::Tensor& parameter);

// A step counter whose value is read for bias corrections: on the CPU, so that reading it does not
// wait for a device.
[[nodiscard]] at::Tensor zero_steps();

// Counts one update more and returns what `function` makes of each count.  REQUIRES: zero_steps().
template <class Function>
std::vector<at::Scalar> counted(const std::vector<at::Tensor>& steps, Function function) {
  std::vector<at::Scalar> results;
  results.reserve(steps.size());
  for (const at::Tensor& step : steps) {
    float& count = *step.mutable_data_ptr<float>();
    count += 1;
    results.emplace_back(function(static_cast<double>(count)));
  }
  return results;
}

}  // namespace pergola::host
