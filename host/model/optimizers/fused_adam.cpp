// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/optimizers/fused_adam.h"

#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

namespace pergola::host {
namespace {

// What is done to one parameter.
struct Single {
  at::Tensor parameter, gradient, average, square, step;
  double rate, beta1, beta2, eps, weight_decay;

  void adam(bool decoupled) const {
    const auto fused = decoupled ? &at::_ops::_fused_adamw_::call : &at::_ops::_fused_adam_::call;
    fused(parameter, gradient, average, square, {}, step, rate, beta1, beta2, weight_decay, eps,
          /*amsgrad=*/false, /*maximize=*/false, /*grad_scale=*/{}, /*found_inf=*/{});
  }
  void adamax() const {
    const at::Tensor decayed = gradient.add(parameter, weight_decay);
    average.lerp_(decayed, 1 - beta1);
    square.copy_(square.mul(beta2).maximum(decayed.abs() + eps));
    const double t = step.item<double>();
    parameter.addcdiv_(average, square, -rate / (1 - std::pow(beta1, t)));
  }
  void mmf_adam_w() const {
    average.lerp_(gradient, 1 - beta1);
    square.mul_(beta2).addcmul_(gradient, gradient, 1 - beta2);
    const double t = step.item<double>();
    const double share = std::sqrt(1 - std::pow(beta2, t)) / (1 - std::pow(beta1, t));
    parameter.addcdiv_(average, square.sqrt() + eps, -rate * share);
    parameter.mul_(1 - rate * weight_decay);
  }
  void move(FusedAdam::Rule rule) const {
    switch (rule) {
      case FusedAdam::Rule::kAdamax:
        return adamax();
      case FusedAdam::Rule::kMmfAdamW:
        return mmf_adam_w();
      default:
        return adam(rule == FusedAdam::Rule::kAdamW);
    }
  }
};

// The form of the CPU: tensor by tensor.
void adam_step(at::TensorList parameters, at::TensorList gradients, at::TensorList averages,
               at::TensorList squares, at::TensorList steps, at::IntArrayRef groups,
               at::ArrayRef<double> options, std::int64_t rule, const at::Tensor& rates,
               const std::optional<at::Tensor>& scale, const std::optional<at::Tensor>& skip) {
  if (skip && skip->item<float>() != 0) return;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const at::ArrayRef<double> own =
        options.slice(static_cast<std::size_t>(groups[i]) * kAdamOptions, kAdamOptions);
    const at::Tensor wide = gradients[i].to(parameters[i].scalar_type());
    steps[i].add_(1);
    const Single single{parameters[i], scale ? wide * *scale : wide,
                        averages[i],   squares[i],
                        steps[i],      rates[groups[i]].item<double>(),
                        own[0],        own[1],
                        own[2],        own[3]};
    single.move(static_cast<FusedAdam::Rule>(rule));
    parameters[i].unsafeGetTensorImpl()->bump_version();
  }
}

void write_numbers(const at::Tensor& into, at::ArrayRef<double> values) {
  into.copy_(at::tensor(values, at::kDouble));
}

bool is_recording(const at::Tensor& /*like*/) { return false; }

template <class Function>
auto find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Function>();
}

constexpr const char* kAdamStep = "pergola::adam_step";

// Of all of them: they are in one library, which comes when the host loads CUDA.
bool has_kernels() {
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(kAdamStep, "");
  return op.hasKernelForDispatchKey(c10::DispatchKey::CUDA);
}

std::optional<at::Tensor> if_defined(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
}

at::Tensor norm_of(at::TensorList tensors) {
  return at::stack(at::_foreach_norm(tensors, 2)).norm(2);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(pergola, library) {
  library.def(
      "adam_step(Tensor(a!)[] parameters, Tensor[] gradients, Tensor(b!)[] averages, "
      "Tensor(c!)[] squares, Tensor(d!)[] steps, int[] groups, float[] options, int rule, "
      "Tensor rates, Tensor? scale, Tensor? skip) -> ()");
  library.def("write_numbers(Tensor(a!) into, float[] values) -> ()");
  library.def("is_recording(Tensor like) -> bool");
  library.def("l2_norm(Tensor[] tensors) -> Tensor");
}

TORCH_LIBRARY_IMPL(pergola, CPU, library) {
  library.impl("adam_step", adam_step);
  library.impl("write_numbers", write_numbers);
  library.impl("is_recording", is_recording);
  library.impl("l2_norm", norm_of);
}

FusedAdam::FusedAdam(const std::vector<Options>& groups, Rule rule) : rule_(rule) {
  for (const Options& own : groups) {
    options_.insert(options_.end(), {own.beta1, own.beta2, own.eps, own.weight_decay});
  }
}

bool FusedAdam::takes(const at::Tensor& parameter) {
  if (!parameter.is_cuda() || parameter.scalar_type() != at::kFloat ||
      !parameter.is_non_overlapping_and_dense()) {
    return false;
  }
  const at::Tensor& gradient = parameter.grad();
  if (gradient.defined() &&
      (gradient.layout() != at::kStrided ||
       (gradient.scalar_type() != at::kFloat && gradient.scalar_type() != at::kBFloat16))) {
    return false;
  }
  return has_kernels();
}

bool FusedAdam::is_recording(const at::Tensor& parameter) {
  static const auto op = find<bool(const at::Tensor&)>("pergola::is_recording");
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  return op.call(parameter);
}

void FusedAdam::step(const Batch& batch, const std::vector<double>& rates) {
  const at::Tensor& first = batch.parameters.front();
  if (!is_recording(first)) write_rates(rates, first.device());
  PERGOLA_ASSERT(rates_.defined());
  const at::Tensor scale = std::exchange(scale_, at::Tensor());
  const at::Tensor skip = std::exchange(skip_, at::Tensor());
  static const auto op = find<decltype(adam_step)>(kAdamStep);
  {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;  // whose way for lists is long
    op.call(batch.parameters, batch.gradients, batch.averages, batch.squares, batch.steps,
            batch.groups, options_, static_cast<std::int64_t>(rule_), rates_, if_defined(scale),
            if_defined(skip));
  }
}

void FusedAdam::write_rates(const std::vector<double>& rates, c10::Device device) {
  if (!rates_.defined()) {
    rates_ = at::empty({static_cast<std::int64_t>(rates.size())},
                       at::TensorOptions(device).dtype(at::kDouble));
  }
  if (written_ == rates) return;
  static const auto op = find<decltype(write_numbers)>("pergola::write_numbers");
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  op.call(rates_, rates);
  written_ = rates;
}

at::Tensor l2_norm(const std::vector<at::Tensor>& tensors) {
  const auto fits = [](const at::Tensor& tensor) {
    const at::ScalarType type = tensor.scalar_type();
    return tensor.is_cuda() && tensor.layout() == at::kStrided &&
           (type == at::kFloat || type == at::kBFloat16 || type == at::kHalf);
  };
  if (!std::all_of(tensors.begin(), tensors.end(), fits) || !has_kernels()) {
    return norm_of(tensors);
  }
  static const auto op = find<at::Tensor(at::TensorList)>("pergola::l2_norm");
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  return op.call(tensors);
}

}  // namespace pergola::host
