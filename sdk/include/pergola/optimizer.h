// SPDX-License-Identifier: BSD-3-Clause
// Optimizers: own their state, step parameter groups, and hand their state out as named tensors,
// so that a checkpoint holds it in a format that others read. Used on the training thread.
#pragma once

#include "pergola/config.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pergola {

// Parameters that share their options. A group's `options` override `optimizer.params` (lr,
// weight_decay, ...) for its parameters.
struct ParameterGroup {
  std::vector<std::string> names;  // state-dict names, one for each parameter
  std::vector<at::Tensor> parameters;
  Value options = Value(Value::Table{});
};

class PERGOLA_API Optimizer {
 public:
  // `base_lr`: the rate of each group, before any schedule. A class of its own reads it, and the
  // other options, from `optimizer.params` and the groups, and throws Error{kConfig} for a bad one.
  // REQUIRES: one rate for each group, one name for each parameter.  [main-thread]
  Optimizer(std::vector<ParameterGroup> groups, std::vector<double> base_lr);
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;
  virtual ~Optimizer();

  // Drops all gradients (they become undefined).
  void zero_grad();
  // One update of every parameter that has a gradient, under no_grad; the others, and their state,
  // stay as they are.  [train-thread]
  virtual void step() = 0;

  // The next step() multiplies each gradient by `scale`, a float32 number (0-d) on the parameters'
  // device: clipping without a pass over the gradients of its own, and without a wait. Returns
  // whether it will; the default does not, and the host scales the gradients itself then.
  // [train-thread]
  [[nodiscard]] virtual bool scale_gradients(const at::Tensor& scale);

  // Can step() be recorded in a CUDA graph? It can where all that changes from one step to the next
  // (rates, counts) is read from memory of the device. The default says no.
  [[nodiscard]] virtual bool capturable() const;
  // Before each replay of a recorded step(): writes the rates of that step into the memory that it
  // reads.  REQUIRES: capturable().  [train-thread]
  virtual void before_replay();

  // Every group's rate becomes its base rate times `factor`.
  void set_lr_factor(double factor) noexcept { lr_factor_ = factor; }
  [[nodiscard]] double lr(std::size_t group = 0) const { return base_lr_.at(group) * lr_factor_; }
  [[nodiscard]] const std::vector<ParameterGroup>& groups() const noexcept { return groups_; }

  // "{parameter name}/{state name}" → tensor, sharing memory with the optimizer; state that does
  // not exist yet is left out.
  [[nodiscard]] virtual std::map<std::string, at::Tensor> state_dict() const = 0;
  // Takes such state. Throws Error{kCheckpoint} naming what is missing, unknown, or of another
  // shape; nothing has changed then.
  virtual void load_state_dict(const std::map<std::string, at::Tensor>& state) = 0;

 private:
  std::vector<ParameterGroup> groups_;
  std::vector<double> base_lr_;
  double lr_factor_ = 1.0;
};

}  // namespace pergola
