// SPDX-License-Identifier: BSD-3-Clause
// A problem for optimizers whose gradients are known without a model, and one by key.
#pragma once

#include "host/model/builtins.h"
#include "pergola/registry.h"

#include <ATen/ATen.h>
#include <torch/types.h>

#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pergola::host {

inline const Registry& builtin_parts() {
  static const Registry registry = [] {
    Registry parts;
    parts.publish(builtin_model_parts(), "host");
    return parts;
  }();
  return registry;
}

inline std::unique_ptr<Optimizer> make_optimizer(const std::string& key, Value::Table params,
                                                 std::vector<ParameterGroup> groups) {
  const TypedConfig config{key, Config(std::move(params), "optimizer.params"), {}, "optimizer"};
  return builtin_parts().make_optimizer(config, std::move(groups));
}

// The gradient of tools/reference/optimizers.py: another one at each step.
inline at::Tensor gradient_at(const at::Tensor& parameter, std::int64_t step) {
  const at::Tensor weight = parameter.detach();
  const double slope = 1 + 0.8 * std::cos(1.7 * static_cast<double>(step));
  return weight.cos() * slope + weight * 0.5;
}

// A matrix and a vector, as many models have.
struct Problem {
  std::vector<at::Tensor> parameters;

  Problem() {
    torch::manual_seed(3);
    parameters = {torch::randn({5, 3}), torch::randn({7})};
    for (at::Tensor& parameter : parameters) parameter.set_requires_grad(true);
  }
  // One group with all parameters.
  [[nodiscard]] std::vector<ParameterGroup> group(Value options = Value::Table{}) const {
    return {{{"weight", "bias"}, parameters, std::move(options)}};
  }
  // One group with options of its own, one without.
  [[nodiscard]] std::vector<ParameterGroup> two_groups(Value options) const {
    return {{{"weight"}, {parameters[0]}, std::move(options)},
            {{"bias"}, {parameters[1]}, Value(Value::Table{})}};
  }
  // Steps number `begin` to `end`, without the latter. The bias has its first gradient at step 1,
  // and none at step 5.
  void run(Optimizer& optimizer, std::int64_t begin, std::int64_t end) {
    for (std::int64_t step = begin; step < end; ++step) {
      optimizer.zero_grad();
      parameters[0].mutable_grad() = gradient_at(parameters[0], step);
      if (step != 0 && step != 5) parameters[1].mutable_grad() = gradient_at(parameters[1], step);
      optimizer.step();
    }
  }
};

// Params of each optimizer, such that each of its kinds of state is there in one of them.
inline const std::map<std::string, std::vector<Value::Table>>& optimizer_params() {
  static const std::map<std::string, std::vector<Value::Table>> params = {
      {"sgd", {{{"lr", 0.1}}, {{"lr", 0.1}, {"momentum", 0.9}, {"dampening", 0.5}}}},
      {"adam", {{}, {{"amsgrad", true}, {"weight_decay", 0.1}}}},
      {"adamw", {{}, {{"amsgrad", true}}}},
      {"adamax", {{{"lr", 0.05}}}},
      {"nadam", {{{"lr", 0.05}}}},
      {"adagrad", {{{"lr_decay", 0.1}, {"initial_accumulator_value", 0.5}}}},
      {"rmsprop", {{}, {{"momentum", 0.9}}, {{"centered", true}}}},
      {"lamb", {{{"weight_decay", 0.1}}}},
      {"adafactor", {{}, {{"beta1", 0.9}, {"relative_step", false}, {"lr", 0.01}}}},
      {"adam_w", {{{"weight_decay", 0.1}}}},
      {"adam_w_skip_params_with_zero_grad", {{{"weight_decay", 0.1}}}}};
  return params;
}

}  // namespace pergola::host
