// SPDX-License-Identifier: BSD-3-Clause
// pergola::dot_rows and pergola::sum_rows on CUDA. The gradients of each are the other and outer
// products.
#include "host/device/cuda/kernels/thin_products.h"
#include "host/device/cuda/launch.h"
#include "host/device/cuda/linear_parts.h"
#include "pergola/ops.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace pergola::cuda {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

using ThinKernel = void (*)(Type, const void*, const void*, void*, const ThinShape&, cudaStream_t);

void launch_thin(ThinKernel kernel, const at::Tensor& a, const at::Tensor& b,
                 const at::Tensor& into, const ThinShape& shape) {
  const c10::cuda::CUDAGuard on_device(a.device());
  kernel(*type_of(a.scalar_type()), a.const_data_ptr(), b.const_data_ptr(), into.data_ptr(), shape,
         c10::cuda::getCurrentCUDAStream());
  check_launch();
}

at::Tensor dots_of(const at::Tensor& x_BRD, const at::Tensor& y_BAD) {
  const ThinShape shape = {x_BRD.size(0), x_BRD.size(1), y_BAD.size(1), x_BRD.size(2)};
  const at::Tensor dots_BRA = at::empty({shape.batch, shape.rows, shape.vectors}, x_BRD.options());
  launch_thin(thin_dots, x_BRD, y_BAD, dots_BRA, shape);
  return dots_BRA;
}

at::Tensor sums_of(const at::Tensor& weights_BRA, const at::Tensor& x_BRD) {
  const ThinShape shape = {x_BRD.size(0), x_BRD.size(1), weights_BRA.size(2), x_BRD.size(2)};
  const at::Tensor sums_BAD = at::empty({shape.batch, shape.vectors, shape.width}, x_BRD.options());
  launch_thin(thin_sums, weights_BRA, x_BRD, sums_BAD, shape);
  return sums_BAD;
}

at::Tensor outer_of(const at::Tensor& weights_BRA, const at::Tensor& y_BAD) {
  const ThinShape shape = {y_BAD.size(0), weights_BRA.size(1), y_BAD.size(1), y_BAD.size(2)};
  const at::Tensor outer_BRD = at::empty({shape.batch, shape.rows, shape.width}, y_BAD.options());
  launch_thin(thin_outer, weights_BRA, y_BAD, outer_BRD, shape);
  return outer_BRD;
}

// Autocast's type, or the first operand's own.
at::ScalarType thin_type(const at::Tensor& x) {
  return at::autocast::is_autocast_enabled(at::kCUDA) && x.scalar_type() != at::kDouble
             ? at::autocast::get_autocast_dtype(at::kCUDA)
             : x.scalar_type();
}

// Are x [B, R, D] and vectors [B, A, D], or weights [B, R, A], what kernels know?
bool is_thin(const at::Tensor& x, const at::Tensor& other, std::int64_t vectors_dim) {
  return type_of(thin_type(x)) && x.dim() == 3 && other.dim() == 3 && x.numel() > 0 &&
         other.numel() > 0 && other.device() == x.device() && other.size(0) == x.size(0) &&
         other.size(vectors_dim) <= kMostVectors && x.size(2) % 8 == 0;
}

class DotRows : public torch::autograd::Function<DotRows> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& y,
                            at::ScalarType type) {
    const at::Tensor x_BRD = aligned(x.to(type));
    const at::Tensor y_BAD = aligned(y.to(type));
    context->save_for_backward({x_BRD, y_BAD});
    return dots_of(x_BRD, y_BAD);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_derivatives();
    const variable_list saved = context->get_saved_variables();
    const at::Tensor gradient_BRA = aligned(gradients[0].to(saved[0].scalar_type()));
    variable_list result(3);
    if (context->needs_input_grad(0)) result[0] = outer_of(gradient_BRA, saved[1]);
    if (context->needs_input_grad(1)) result[1] = sums_of(gradient_BRA, saved[0]);
    return result;
  }
};

class SumRows : public torch::autograd::Function<SumRows> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& weights,
                            const at::Tensor& x, at::ScalarType type) {
    const at::Tensor weights_BRA = aligned(weights.to(type));
    const at::Tensor x_BRD = aligned(x.to(type));
    context->save_for_backward({weights_BRA, x_BRD});
    return sums_of(weights_BRA, x_BRD);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_derivatives();
    const variable_list saved = context->get_saved_variables();
    const at::Tensor gradient_BAD = aligned(gradients[0].to(saved[0].scalar_type()));
    variable_list result(3);
    if (context->needs_input_grad(0)) result[0] = dots_of(saved[1], gradient_BAD);
    if (context->needs_input_grad(1)) result[1] = outer_of(saved[0], gradient_BAD);
    return result;
  }
};

at::Tensor fused_dot_rows(const at::Tensor& x, const at::Tensor& y) {
  const bool fused = is_thin(x, y, /*vectors_dim=*/1) && y.size(2) == x.size(2);
  return fused ? DotRows::apply(x, y, thin_type(x)) : ops::unfused::dot_rows(x, y);
}

at::Tensor fused_sum_rows(const at::Tensor& weights, const at::Tensor& x) {
  const bool fused = is_thin(x, weights, /*vectors_dim=*/2) && weights.size(1) == x.size(1);
  return fused ? SumRows::apply(weights, x, thin_type(x)) : ops::unfused::sum_rows(weights, x);
}

}  // namespace

TORCH_LIBRARY_IMPL(pergola, AutogradCUDA, library) {
  library.impl("dot_rows", fused_dot_rows);
  library.impl("sum_rows", fused_sum_rows);
}

// Under inference mode.
TORCH_LIBRARY_IMPL(pergola, CUDA, library) {
  library.impl("dot_rows", fused_dot_rows);
  library.impl("sum_rows", fused_sum_rows);
}

}  // namespace pergola::cuda
