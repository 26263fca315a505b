// SPDX-License-Identifier: BSD-3-Clause
// pergola::linear on CUDA, in half precision and float32, and pergola::linear_dot_rows in the
// former.
#include "host/device/cuda/kernels/column_sum.h"
#include "host/device/cuda/kernels/dots_backward.h"
#include "host/device/cuda/launch.h"
#include "host/device/cuda/linear_layer.h"
#include "pergola/ops.h"

#include <ATen/ATen.h>
#include <torch/library.h>

namespace pergola::cuda {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct ReluBackward {
  at::Tensor gradient_NM, sums_M;
};

// In place where the gradient is nobody else's.
ReluBackward through_relu(const at::Tensor& gradient_NM, const at::Tensor& y_NM, bool in_place) {
  const std::int64_t rows = y_NM.size(0);
  const std::int64_t width = y_NM.size(1);
  const at::TensorOptions floats = y_NM.options().dtype(at::kFloat);
  const ReluBackward result = {in_place ? gradient_NM : at::empty_like(gradient_NM),
                               at::empty({width}, floats)};
  const at::Tensor workspace = at::empty({column_sum_parts(rows, width), width}, floats);
  relu_backward_sums(
      *type_of(y_NM.scalar_type()),
      {gradient_NM.const_data_ptr(), y_NM.const_data_ptr(), result.gradient_NM.data_ptr()},
      result.sums_M.mutable_data_ptr<float>(), rows, width, workspace.mutable_data_ptr<float>(),
      c10::cuda::getCurrentCUDAStream());
  check_launch();
  return result;
}

class Linear : public torch::autograd::Function<Linear> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const std::optional<at::Tensor>& weight_g,
                            bool relu, at::ScalarType type) {
    const c10::cuda::CUDAGuard on_device(x.device());
    const at::AutoDispatchBelowADInplaceOrView no_views;  // the result is a part of a tensor
    const LayerPass layer({x, weight, bias, weight_g, relu ? Relu::kYes : Relu::kNo}, type);
    const at::Tensor y =
        layer.forward().view(with_width(x.sizes(), layer.width())).narrow(-1, 0, layer.outputs());
    layer.save(*context, relu ? variable_list{y} : variable_list());
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_derivatives();
    const LayerPass layer(*context);
    const c10::cuda::CUDAGuard on_device(gradients[0].device());
    at::Tensor dz_NM = layer.gradient_rows(gradients[0]);
    at::Tensor dbias_M;
    if (layer.relu() == Relu::kYes) {
      const bool own = dz_NM.const_data_ptr() != gradients[0].const_data_ptr();
      const at::Tensor& y = layer.saved(0);
      const ReluBackward passed =
          through_relu(dz_NM, y.as_strided({layer.rows(), layer.width()}, {layer.width(), 1}), own);
      dz_NM = passed.gradient_NM;
      dbias_M = passed.sums_M;
    } else if (context->needs_input_grad(2)) {
      dbias_M = bias_gradients({dz_NM}).front();
    }
    const LayerPass::Gradients found = layer.backward(*context, dz_NM, dbias_M, /*g_input=*/3);
    return {found.x, found.weight, found.bias, found.weight_g, {}, {}};
  }
};

at::Tensor fused_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        const std::optional<at::Tensor>& weight_g, bool relu) {
  const std::optional<at::ScalarType> type = linear_type(x);
  if (is_fused_layer({x, weight, bias, weight_g, Relu::kNo}, type)) {
    return Linear::apply(x, weight, bias, weight_g, relu, *type);
  }
  return ops::unfused::linear(x, {weight, bias, weight_g.value_or(at::Tensor()),
                                  relu ? ops::Activation::kRelu : ops::Activation::kNone});
}

// The layer's rows and few vectors for each sample.
ThinShape shape_of(const LayerPass& layer, const at::Tensor& y_BAM) {
  return {y_BAM.size(0), layer.rows() / y_BAM.size(0), y_BAM.size(1), layer.width()};
}

class LinearDotRows : public torch::autograd::Function<LinearDotRows> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& y,
                            const std::optional<at::Tensor>& weight_g, bool relu,
                            at::ScalarType type) {
    const c10::cuda::CUDAGuard on_device(x.device());
    const LayerPass layer({x, weight, bias, weight_g, relu ? Relu::kYes : Relu::kNo}, type);
    const at::Tensor rows_NM = layer.forward();
    const at::Tensor y_BAM =
        with_whole_rows(as_rows(y.to(type))).view({y.size(0), y.size(1), layer.width()});
    const ThinShape shape = shape_of(layer, y_BAM);
    const at::Tensor dots_BRA =
        at::empty({shape.batch, shape.rows, shape.vectors}, rows_NM.options());
    thin_dots(*type_of(type), rows_NM.const_data_ptr(), y_BAM.const_data_ptr(), dots_BRA.data_ptr(),
              shape, c10::cuda::getCurrentCUDAStream());
    check_launch();
    layer.save(*context, {rows_NM, y_BAM});
    return dots_BRA;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_derivatives();
    const LayerPass layer(*context);
    const at::Tensor& rows_NM = layer.saved(0);
    const at::Tensor& y_BAM = layer.saved(1);
    const c10::cuda::CUDAGuard on_device(rows_NM.device());
    const ThinShape shape = shape_of(layer, y_BAM);
    const at::Tensor gradient_BRA = gradients[0].to(layer.type()).contiguous();
    const at::Tensor dz_NM = at::empty_like(rows_NM);
    const at::Tensor dy_BAM = at::empty_like(y_BAM);
    const at::TensorOptions floats = rows_NM.options().dtype(at::kFloat);
    const at::Tensor dbias_M = at::empty({shape.width}, floats);
    const at::Tensor workspace = at::empty({dots_backward_parts(shape), shape.width}, floats);
    dots_backward(*type_of(layer.type()),
                  layer.relu() == Relu::kYes ? DotsActivation::kRelu : DotsActivation::kNone,
                  {gradient_BRA.const_data_ptr(), rows_NM.const_data_ptr(), y_BAM.const_data_ptr(),
                   dz_NM.data_ptr(), dy_BAM.data_ptr(), dbias_M.mutable_data_ptr<float>()},
                  shape, workspace.mutable_data_ptr<float>(), c10::cuda::getCurrentCUDAStream());
    check_launch();
    const LayerPass::Gradients found = layer.backward(*context, dz_NM, dbias_M, /*g_input=*/4);
    const at::Tensor dy = dy_BAM.narrow(2, 0, layer.outputs());
    return {found.x, found.weight, found.bias, dy, found.weight_g, {}, {}};
  }
};

at::Tensor fused_linear_dot_rows(const at::Tensor& x, const at::Tensor& weight,
                                 const at::Tensor& bias, const std::optional<at::Tensor>& weight_g,
                                 bool relu, const at::Tensor& y, const at::Tensor& dot_bias) {
  const std::optional<at::ScalarType> type = half_type(x);
  const bool fused = is_fused_layer({x, weight, bias, weight_g, Relu::kNo}, type) && x.dim() == 3 &&
                     y.dim() == 3 && y.device() == x.device() && y.size(0) == x.size(0) &&
                     y.size(2) == weight.size(0) && y.size(1) > 0 && y.size(1) <= kMostVectors;
  if (fused) {
    return LinearDotRows::apply(x, weight, bias, y, weight_g, relu, *type) + dot_bias.to(*type);
  }
  const at::Tensor rows = fused_linear(x, weight, bias, weight_g, relu);
  return at::baddbmm(dot_bias.to(rows.scalar_type()), rows,
                     y.to(rows.scalar_type()).transpose(1, 2));
}

}  // namespace

TORCH_LIBRARY_IMPL(pergola, AutogradCUDA, library) {
  library.impl("linear", fused_linear);
  library.impl("linear_dot_rows", fused_linear_dot_rows);
}

// Under inference mode.
TORCH_LIBRARY_IMPL(pergola, CUDA, library) {
  library.impl("linear", fused_linear);
  library.impl("linear_dot_rows", fused_linear_dot_rows);
}

}  // namespace pergola::cuda
