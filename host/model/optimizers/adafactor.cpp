// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/optimizers/adafactor.h"

#include "host/model/optimizers/options.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace pergola::host {
namespace {

using Tensors = std::vector<at::Tensor>;

// The state names, in the order of their tensors.
enum State : std::size_t { kStep, kAverage, kRows, kColumns, kSquares };

bool is_half(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kHalf || tensor.scalar_type() == at::kBFloat16;
}

// Half precision is too coarse for averages of squares, and for eps[0].
at::Tensor widened(const at::Tensor& tensor) {
  return is_half(tensor) ? tensor.to(at::kFloat) : tensor;
}

Tensors widened(const Tensors& tensors) {
  Tensors wide;
  wide.reserve(tensors.size());
  for (const at::Tensor& tensor : tensors) wide.push_back(widened(tensor));
  return wide;
}

// The root mean square of each tensor, 0-d.
Tensors root_mean_squares(const Tensors& tensors) {
  std::vector<at::Scalar> roots;
  roots.reserve(tensors.size());
  for (const at::Tensor& tensor : tensors) {
    roots.emplace_back(std::sqrt(static_cast<double>(tensor.numel())));
  }
  Tensors norms = at::_foreach_norm(tensors, 2);
  at::_foreach_div_(norms, roots);
  return norms;
}

// 1 / √v of one parameter, from its rows and columns.
at::Tensor factored_inverse_root(const at::Tensor& rows, const at::Tensor& columns) {
  const at::Tensor row_part = (rows / rows.mean(-1, /*keepdim=*/true)).rsqrt_();
  return row_part.unsqueeze(-1) * columns.rsqrt().unsqueeze(-2);
}

}  // namespace

AdafactorOptions AdafactorOptions::parse(const Config& options) {
  const auto eps = options.get<std::vector<double>>("eps");
  const auto in_range = [](double number) { return number >= 0 && std::isfinite(number); };
  if (eps.size() != 2 || !std::all_of(eps.begin(), eps.end(), in_range)) {
    throw options.error("eps", "is not a pair of numbers >= 0, such as [1e-30, 1e-3]");
  }
  const AdafactorOptions parsed{eps[0],
                                eps[1],
                                options.get<double>("clip_threshold"),
                                options.get<double>("decay_rate"),
                                options.find<double>("beta1"),
                                options.get<double>("weight_decay"),
                                options.get<bool>("scale_parameter"),
                                options.get<bool>("relative_step"),
                                options.get<bool>("warmup_init")};
  if (parsed.clip_threshold == 0) throw options.error("clip_threshold", "must be above 0");
  if (parsed.beta1 == 1.0) throw options.error("beta1", "must be below 1");
  if (parsed.relative_step && options.has("lr")) {
    throw options.error("lr",
                        "has no place beside relative_step, which finds the rate itself; set "
                        "relative_step = false, or leave lr out");
  }
  if (!parsed.relative_step && !options.has("lr")) {
    throw options.error("relative_step", "needs lr; set it, such as lr = 0.001");
  }
  if (!parsed.relative_step && parsed.warmup_init) {
    throw options.error("warmup_init", "needs relative_step = true");
  }
  return parsed;
}

ComponentSpec Adafactor::spec() {
  const ParamSpec::Need optional = ParamSpec::Need::kOptional;
  return {
      .summary =
          "adam with the memory of a row and a column for each matrix, and a rate of its "
          "own, as transformers.Adafactor",
      .params = {{.name = "lr",
                  .fallback = {},
                  .meaning = "the rate, where relative_step is false",
                  .low = 0,
                  .high = kHighestOption,
                  .type = Value::Type::kFloat,
                  .need = optional},
                 {.name = "eps",
                  .fallback = Value::Array{1e-30, 1e-3},
                  .meaning = "added to each squared gradient; the least scale of the weights",
                  .high = kHighestOption},
                 {.name = "clip_threshold",
                  .fallback = 1.0,
                  .meaning = "the largest root mean square of a step before the rate, above 0",
                  .low = 0,
                  .high = kHighestOption},
                 {.name = "decay_rate",
                  .fallback = -0.8,
                  .meaning = "at update t the average square decays by 1 - t^decay_rate",
                  .high = 0},
                 {.name = "beta1",
                  .fallback = {},
                  .meaning = "decay of an average of the steps, below 1; none without it",
                  .low = 0,
                  .high = 1,
                  .type = Value::Type::kFloat,
                  .need = optional},
                 weight_decay_param(0, "the rate times this is the part of each weight that goes"),
                 {.name = "scale_parameter",
                  .fallback = true,
                  .meaning = "multiply the rate by the root mean square of the weights"},
                 {.name = "relative_step",
                  .fallback = true,
                  .meaning = "the rate is min(0.01, 1 / sqrt(t)) instead of lr"},
                 {.name = "warmup_init",
                  .fallback = false,
                  .meaning = "with relative_step: 1e-6 t instead of 0.01"}}};
}

Adafactor::Adafactor(const std::vector<ParameterGroup>& groups, const Config& params)
    : MultiTensorOptimizer(groups, params, spec(),
                           {"step", "exp_avg", "exp_avg_sq_row", "exp_avg_sq_col", "exp_avg_sq"}),
      options_(parse_options(AdafactorOptions::parse)) {}

Tensors Adafactor::initial_state(const at::Tensor& parameter, std::size_t group) const {
  const at::Tensor zeros = zeros_of(widened(parameter));
  Tensors state(kSquares + 1);
  state[kStep] = zero_steps();
  if (options_[group].beta1) state[kAverage] = zeros;
  if (parameter.dim() >= 2) {
    state[kRows] = zeros.sum(-1);
    state[kColumns] = zeros.sum(-2);
  } else {
    state[kSquares] = zeros_of(zeros);
  }
  return state;
}

void Adafactor::update(Batch& batch, double lr, std::size_t group) {
  const AdafactorOptions& options = options_[group];
  const Tensors parameters = widened(batch.parameters);
  std::vector<double> decays;
  const std::vector<at::Scalar> relative_rates = counted(batch.state[kStep], [&](double t) {
    decays.push_back(1 - std::pow(t, options.decay_rate));
    if (!options.relative_step) return lr;
    return lr * std::min(options.warmup_init ? 1e-6 * t : 1e-2, 1 / std::sqrt(t));
  });
  const Tensors rates = scales(parameters, options);
  at::_foreach_mul_(rates, relative_rates);
  Tensors updates = directions(batch, decays, options);
  at::_foreach_mul_(updates, rates);
  if (options.beta1) {
    at::_foreach_lerp_(batch.state[kAverage], updates, 1 - *options.beta1);
    updates = batch.state[kAverage];
  }
  if (options.weight_decay != 0) {
    at::_foreach_mul_(rates, -options.weight_decay);
    at::_foreach_addcmul_(parameters, parameters, rates);
  }
  at::_foreach_sub_(parameters, updates);
  if (is_half(batch.parameters.front())) at::_foreach_copy_(batch.parameters, parameters);
}

// What each parameter's rate is multiplied with, 0-d.
Tensors Adafactor::scales(const Tensors& parameters, const AdafactorOptions& options) {
  if (options.scale_parameter) {
    Tensors scales = root_mean_squares(parameters);
    at::_foreach_clamp_min_(scales, options.eps_scale);
    return scales;
  }
  Tensors ones;
  ones.reserve(parameters.size());
  for (const at::Tensor& parameter : parameters) {
    ones.push_back(at::ones({}, parameter.options()));
  }
  return ones;
}

// Moves the averages of the squares by `decays`; the gradients over their roots, clipped.
Tensors Adafactor::directions(const Batch& batch, const std::vector<double>& decays,
                              const AdafactorOptions& options) {
  const Tensors gradients = widened(batch.gradients);
  const Tensors squares = at::_foreach_mul(gradients, gradients);
  at::_foreach_add_(squares, options.eps_square);
  Tensors directions;
  directions.reserve(gradients.size());
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const at::Tensor& rows = batch.state[kRows][i];
    if (rows.defined()) {
      const at::Tensor& columns = batch.state[kColumns][i];
      rows.lerp_(squares[i].mean(-1), 1 - decays[i]);
      columns.lerp_(squares[i].mean(-2), 1 - decays[i]);
      directions.push_back(factored_inverse_root(rows, columns));
    } else {
      directions.push_back(batch.state[kSquares][i].lerp_(squares[i], 1 - decays[i]).rsqrt());
    }
  }
  at::_foreach_mul_(directions, gradients);
  const Tensors excess = root_mean_squares(directions);
  at::_foreach_div_(excess, options.clip_threshold);
  at::_foreach_clamp_min_(excess, 1);
  at::_foreach_div_(directions, excess);
  return directions;
}

}  // namespace pergola::host
