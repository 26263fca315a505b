// SPDX-License-Identifier: BSD-3-Clause
// pergola::bce_with_logits and pergola::cross_entropy on CUDA. A second derivative, which few ask
// for, takes LibTorch's operators.  Legend: N = rows, C = classes.
#include "host/device/cuda/kernels/losses.h"
#include "host/device/cuda/launch.h"
#include "pergola/ops.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <optional>

namespace pergola::cuda {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

at::Tensor number_for(const at::Tensor& logits) {
  return at::empty({}, logits.options().dtype(at::kFloat));
}

class Bce final : public Function<Bce> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& logits,
                            const at::Tensor& targets) {
    const c10::cuda::CUDAGuard on_device(logits.device());
    context->save_for_backward({logits, targets});
    at::Tensor loss = number_for(logits);
    const at::Tensor workspace = at::empty({bce_parts(logits.numel())}, loss.options());
    bce_forward(*type_of(logits.scalar_type()), logits.const_data_ptr(),
                targets.const_data_ptr<float>(), logits.numel(),
                workspace.mutable_data_ptr<float>(), loss.mutable_data_ptr<float>(),
                c10::cuda::getCurrentCUDAStream());
    check_launch();
    return loss;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& logits = saved[0];
    const at::Tensor& targets = saved[1];
    if (at::GradMode::is_enabled()) {
      const at::Tensor slope = logits.to(at::kFloat).sigmoid() - targets;
      const at::Tensor factor = gradients[0] / static_cast<double>(logits.numel());
      return {(slope * factor).to(logits.scalar_type()), {}};
    }
    const c10::cuda::CUDAGuard on_device(logits.device());
    at::Tensor gradient = at::empty_like(logits);
    const at::Tensor of_loss = as_float(gradients[0]);
    bce_backward(*type_of(logits.scalar_type()), logits.const_data_ptr(),
                 targets.const_data_ptr<float>(), logits.numel(), of_loss.const_data_ptr<float>(),
                 gradient.data_ptr(), c10::cuda::getCurrentCUDAStream());
    check_launch();
    return {gradient, {}};
  }
};

at::Tensor fused_bce(const at::Tensor& logits, const at::Tensor& targets) {
  const bool fits = type_of(logits.scalar_type()) && logits.numel() > 0 && logits.is_contiguous() &&
                    targets.is_cuda() && targets.is_contiguous() &&
                    targets.scalar_type() != at::kDouble && !targets.requires_grad() &&
                    targets.sizes() == logits.sizes();
  if (!fits) return ops::unfused::bce_with_logits(logits, targets);
  return Bce::apply(logits, targets.to(at::kFloat));
}

ClassRows rows_of(const at::Tensor& logits, const at::Tensor& targets, std::int64_t ignored) {
  return {*type_of(logits.scalar_type()),
          logits.const_data_ptr(),
          targets.const_data_ptr<std::int64_t>(),
          logits.size(0),
          logits.size(1),
          ignored};
}

// d loss / d logits by operators that have derivatives themselves.
at::Tensor class_slopes(const at::Tensor& logits_NC, const at::Tensor& targets_N,
                        std::int64_t ignored, const at::Tensor& factor) {
  const at::Tensor counts_N1 = targets_N.ne(ignored).unsqueeze(1);
  const at::Tensor classes_N1 = targets_N.unsqueeze(1) * counts_N1;
  const at::Tensor p_NC = at::softmax(logits_NC.to(at::kFloat), 1);
  const at::Tensor slopes_NC = p_NC - at::zeros_like(p_NC).scatter_(1, classes_N1, 1.0);
  return (slopes_NC * counts_N1 * factor).to(logits_NC.scalar_type());
}

class ClassEntropy final : public Function<ClassEntropy> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& logits_NC,
                            const at::Tensor& targets_N, std::int64_t ignored, bool empty_is_zero) {
    const c10::cuda::CUDAGuard on_device(logits_NC.device());
    at::Tensor loss = number_for(logits_NC);
    const at::Tensor count = number_for(logits_NC);
    const at::Tensor tops = at::empty({logits_NC.size(0), 2}, loss.options());
    const at::Tensor losses = at::empty({logits_NC.size(0)}, loss.options());
    cross_entropy_forward(rows_of(logits_NC, targets_N, ignored), empty_is_zero ? 1.0F : 0.0F,
                          {tops.mutable_data_ptr<float>(), losses.mutable_data_ptr<float>(),
                           count.mutable_data_ptr<float>(), loss.mutable_data_ptr<float>()},
                          c10::cuda::getCurrentCUDAStream());
    check_launch();
    context->save_for_backward({logits_NC, targets_N, tops, count});
    context->saved_data["ignored"] = ignored;
    return loss;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& logits = saved[0];
    const at::Tensor& count = saved[3];
    const std::int64_t ignored = context->saved_data["ignored"].toInt();
    if (at::GradMode::is_enabled()) {
      return {class_slopes(logits, saved[1], ignored, gradients[0] / count), {}, {}, {}};
    }
    const c10::cuda::CUDAGuard on_device(logits.device());
    at::Tensor gradient = at::empty_like(logits);
    const at::Tensor of_loss = as_float(gradients[0]);
    cross_entropy_backward(rows_of(logits, saved[1], ignored), saved[2].const_data_ptr<float>(),
                           count.const_data_ptr<float>(), of_loss.const_data_ptr<float>(),
                           gradient.data_ptr(), c10::cuda::getCurrentCUDAStream());
    check_launch();
    return {gradient, {}, {}, {}};
  }
};

at::Tensor fused_cross_entropy(const at::Tensor& logits, const at::Tensor& targets,
                               std::int64_t ignored, bool empty_is_zero) {
  const bool fits = type_of(logits.scalar_type()) && logits.dim() == 2 && logits.numel() > 0 &&
                    logits.is_contiguous() && targets.is_cuda() && targets.dim() == 1 &&
                    targets.scalar_type() == at::kLong && targets.size(0) == logits.size(0);
  if (!fits) {
    return ops::unfused::cross_entropy(
        logits, targets, ignored, empty_is_zero ? ops::EmptyMean::kZero : ops::EmptyMean::kNan);
  }
  return ClassEntropy::apply(logits, targets.contiguous(), ignored, empty_is_zero);
}

}  // namespace

TORCH_LIBRARY_IMPL(pergola, AutogradCUDA, library) {
  library.impl("bce_with_logits", fused_bce);
  library.impl("cross_entropy", fused_cross_entropy);
}

// Under inference mode.
TORCH_LIBRARY_IMPL(pergola, CUDA, library) {
  library.impl("bce_with_logits", fused_bce);
  library.impl("cross_entropy", fused_cross_entropy);
}

}  // namespace pergola::cuda
