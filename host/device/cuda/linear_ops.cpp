// SPDX-License-Identifier: BSD-3-Clause
// pergola::projections and pergola::feed_forward on CUDA, in half precision: biases and GELU are in
// the products' epilogues, both ways; gradients of weights leave their products in float32.
#include "host/device/cuda/kernels/column_sum.h"
#include "host/device/cuda/launch.h"
#include "host/device/cuda/linear_parts.h"
#include "pergola/ops.h"

#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <optional>
#include <vector>

namespace pergola::cuda {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool fits(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return weight.dim() == 2 && weight.device() == x.device() && bias.device() == x.device() &&
         weight.size(0) % kPack == 0 && weight.size(1) % kPack == 0 && bias.dim() == 1 &&
         bias.size(0) == weight.size(0);
}

// Puts the gradient of a GELU's result through it, in place, and makes the result again. Returns
// the gradient's sum over the rows: that of the bias that was added before.
at::Tensor through_gelu(const at::Tensor& gradient_NF, const at::Tensor& before_NF,
                        const at::Tensor& result_NF) {
  const std::int64_t rows = gradient_NF.size(0);
  const std::int64_t width = gradient_NF.size(1);
  const at::TensorOptions floats = gradient_NF.options().dtype(at::kFloat);
  const at::Tensor sums = at::empty({width}, floats);
  const at::Tensor workspace = at::empty({column_sum_parts(rows, width), width}, floats);
  gelu_backward_sums(*type_of(gradient_NF.scalar_type()),
                     {gradient_NF.data_ptr(), before_NF.const_data_ptr(), result_NF.data_ptr()},
                     sums.mutable_data_ptr<float>(), rows, width,
                     workspace.mutable_data_ptr<float>(), c10::cuda::getCurrentCUDAStream());
  check_launch();
  return sums;
}

// Arguments: x, the weights, the biases. All weights are of one shape, so that they are one matrix:
// one product in place of several narrow ones, which fill a GPU badly.
class Projections : public torch::autograd::Function<Projections> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& x,
                               at::TensorList weights, at::TensorList biases, at::ScalarType type) {
    const c10::cuda::CUDAGuard on_device(x.device());
    const at::AutoDispatchBelowADInplaceOrView no_views;  // results are parts of one tensor
    const at::Tensor x_NK = as_rows(x.to(type));
    const at::Tensor weight_MK = side_by_side(weights, type);
    const at::Tensor y = linear_rows(x_NK, weight_MK, side_by_side(biases, type))
                             .view(with_width(x.sizes(), weight_MK.size(0)));
    context->save_for_backward({x_NK, weight_MK});
    context->saved_data["sizes"] = x.sizes().vec();
    return y.chunk(static_cast<std::int64_t>(weights.size()), /*dim=*/-1);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_derivatives();
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& x_NK = saved[0];
    const c10::cuda::CUDAGuard on_device(x_NK.device());
    const std::size_t count = gradients.size();
    variable_list rows_NM;
    for (const at::Tensor& each : gradients) {
      rows_NM.push_back(as_rows(each.to(x_NK.scalar_type())));
    }
    const at::Tensor dy_NM =
        count == 1 ? rows_NM[0] : at::empty({x_NK.size(0), saved[1].size(0)}, x_NK.options());
    const variable_list dbiases = bias_gradients(rows_NM, count == 1 ? at::Tensor() : dy_NM);
    variable_list result(2 + 2 * count);  // x, weights, biases, the type
    if (context->needs_input_grad(0)) {
      const at::Tensor dx_NK = at::empty_like(x_NK);
      multiply({dy_NM}, {saved[1]}, dx_NK, /*accumulate=*/false);
      result[0] = dx_NK.view(context->saved_data["sizes"].toIntVector());
    }
    bool learns = false;  // any of the weights
    for (std::size_t i = 0; i < count; ++i) learns = learns || context->needs_input_grad(1 + i);
    const variable_list dweights =
        learns ? weight_gradient(dy_NM, x_NK).chunk(static_cast<std::int64_t>(count))
               : variable_list(count);
    for (std::size_t i = 0; i < count; ++i) {
      if (context->needs_input_grad(1 + i)) result[1 + i] = dweights[i];
      if (context->needs_input_grad(1 + count + i)) result[1 + count + i] = dbiases[i];
    }
    return result;
  }

 private:
  static at::Tensor side_by_side(at::TensorList parts, at::ScalarType type) {
    if (parts.size() == 1) return in_type(parts[0], type);
    std::vector<at::Tensor> converted;
    for (const at::Tensor& part : parts) converted.push_back(in_type(part, type));
    return at::cat(converted);
  }
};

std::vector<at::Tensor> fused_projections(const at::Tensor& x, at::TensorList weights,
                                          at::TensorList biases) {
  const std::optional<at::ScalarType> type = half_type(x);
  bool fused = type && x.dim() > 0 && x.numel() > 0 && weights.size() <= kMostSums;
  for (std::size_t i = 0; i < weights.size() && fused; ++i) {
    fused = fits(x, weights[i], biases[i]) && weights[i].size(1) == x.size(-1) &&
            weights[i].sizes() == weights[0].sizes();
  }
  if (!fused) return ops::unfused::projections(x, weights, biases);
  return Projections::apply(x, weights, biases, *type);
}

class FeedForward : public torch::autograd::Function<FeedForward> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight1_FK, const at::Tensor& bias1_F,
                            const at::Tensor& weight2_MF, const at::Tensor& bias2_M,
                            at::ScalarType type) {
    const c10::cuda::CUDAGuard on_device(x.device());
    const at::Tensor x_NK = as_rows(x.to(type));
    const at::Tensor weight1 = in_type(weight1_FK, type);
    const at::Tensor weight2 = in_type(weight2_MF, type);
    const at::Tensor before_NF = at::empty({x_NK.size(0), weight1.size(0)}, x_NK.options());
    at::Tensor inner_NF = at::empty_like(before_NF);
    const at::Tensor bias1 = in_type(bias1_F, type);
    if (!multiply({x_NK}, {weight1, true}, inner_NF, /*accumulate=*/false, Epilogue::kGeluBias,
                  {bias1, before_NF})) {
      before_NF.copy_(linear_rows(x_NK, weight1, bias1));
      inner_NF = at::gelu(before_NF, "tanh");
    }
    // Not inner_NF, a sixth of a BERT's memory, which the backward pass makes in a pass that it
    // has.
    context->save_for_backward({x_NK, before_NF, weight1, weight2});
    context->saved_data["sizes"] = x.sizes().vec();
    return linear_rows(inner_NF, weight2, in_type(bias2_M, type))
        .view(with_width(x.sizes(), weight2.size(0)));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_derivatives();
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& x_NK = saved[0];
    const at::Tensor& before_NF = saved[1];
    const c10::cuda::CUDAGuard on_device(x_NK.device());
    const at::Tensor dy_NM = as_rows(gradients[0].to(x_NK.scalar_type()));
    variable_list result(6);
    // A product whose epilogue is the GELU's gradient takes longer than both.
    const at::Tensor dbefore_NF = at::empty_like(before_NF);
    multiply({dy_NM}, {saved[3]}, dbefore_NF, /*accumulate=*/false);
    {
      const at::Tensor inner_NF = at::empty_like(before_NF);
      result[2] = through_gelu(dbefore_NF, before_NF, inner_NF);
      if (context->needs_input_grad(3)) result[3] = weight_gradient(dy_NM, inner_NF);
    }
    if (context->needs_input_grad(0)) {
      const at::Tensor dx_NK = at::empty_like(x_NK);
      multiply({dbefore_NF}, {saved[2]}, dx_NK, /*accumulate=*/false);
      result[0] = dx_NK.view(context->saved_data["sizes"].toIntVector());
    }
    if (context->needs_input_grad(1)) result[1] = weight_gradient(dbefore_NF, x_NK);
    if (context->needs_input_grad(4)) result[4] = bias_gradients({dy_NM}).front();
    return result;
  }
};

at::Tensor fused_feed_forward(const at::Tensor& x, const at::Tensor& weight1,
                              const at::Tensor& bias1, const at::Tensor& weight2,
                              const at::Tensor& bias2, bool tanh) {
  const std::optional<at::ScalarType> type = half_type(x);
  const bool fused = type && x.dim() > 0 && x.numel() > 0 && fits(x, weight1, bias1) &&
                     fits(x, weight2, bias2) && weight1.size(1) == x.size(-1) &&
                     weight2.size(1) == weight1.size(0);
  if (!fused) {
    return ops::unfused::feed_forward(x, weight1, bias1, weight2, bias2,
                                      tanh ? ops::Gelu::kTanh : ops::Gelu::kErf);
  }
  return FeedForward::apply(x, weight1, bias1, weight2, bias2, *type);
}

}  // namespace

TORCH_LIBRARY_IMPL(pergola, AutogradCUDA, library) {
  library.impl("projections", fused_projections);
  library.impl("feed_forward", fused_feed_forward);
}

// Under inference mode.
TORCH_LIBRARY_IMPL(pergola, CUDA, library) {
  library.impl("projections", fused_projections);
  library.impl("feed_forward", fused_feed_forward);
}

}  // namespace pergola::cuda
