// SPDX-License-Identifier: BSD-3-Clause
// pergola::gather_rows and pergola::scatter_rows on CUDA; each is the other's backward pass.
#include "host/device/cuda/kernels/rows.h"
#include "host/device/cuda/launch.h"
#include "pergola/ops.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace pergola::cuda {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::vector<std::int64_t> with_height(const at::Tensor& x, std::int64_t height) {
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.front() = height;
  return sizes;
}

std::int64_t row_bytes(const at::Tensor& x) {
  return static_cast<std::int64_t>(x.nbytes()) / x.size(0);
}

at::Tensor gathered(const at::Tensor& x_given, const at::Tensor& rows_N) {
  const c10::cuda::CUDAGuard on_device(x_given.device());
  const at::Tensor x = x_given.contiguous();
  const at::Tensor result = at::empty(with_height(x, rows_N.size(0)), x.options());
  if (result.numel() == 0) return result;
  gather_rows(x.const_data_ptr(), result.data_ptr(),
              {rows_N.const_data_ptr<std::int64_t>(), rows_N.size(0), x.size(0), row_bytes(x)},
              c10::cuda::getCurrentCUDAStream());
  check_launch();
  return result;
}

at::Tensor scattered(const at::Tensor& x_given, const at::Tensor& rows_N, std::int64_t count) {
  const c10::cuda::CUDAGuard on_device(x_given.device());
  const at::Tensor x = x_given.contiguous();
  const at::Tensor result = at::zeros(with_height(x, count), x.options());
  if (x.numel() == 0 || result.numel() == 0) return result;
  scatter_rows(x.const_data_ptr(), result.data_ptr(),
               {rows_N.const_data_ptr<std::int64_t>(), rows_N.size(0), count, row_bytes(x)},
               c10::cuda::getCurrentCUDAStream());
  check_launch();
  return result;
}

class Gather : public torch::autograd::Function<Gather> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& rows_N) {
    context->save_for_backward({rows_N});
    context->saved_data["count"] = x.size(0);
    return gathered(x, rows_N);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor rows_N = context->get_saved_variables()[0];
    return {ops::scatter_rows(gradients[0], rows_N, context->saved_data["count"].toInt()), {}};
  }
};

class Scatter : public torch::autograd::Function<Scatter> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& rows_N,
                            std::int64_t count) {
    context->save_for_backward({rows_N});
    return scattered(x, rows_N, count);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    return {ops::gather_rows(gradients[0], context->get_saved_variables()[0]), {}, {}};
  }
};

bool fits(const at::Tensor& x, const at::Tensor& rows_N) {
  return x.dim() > 0 && x.size(0) > 0 && rows_N.device() == x.device() && rows_N.dim() == 1 &&
         rows_N.scalar_type() == at::kLong && rows_N.is_contiguous();
}

at::Tensor fused_gather_rows(const at::Tensor& x, const at::Tensor& rows_N) {
  return fits(x, rows_N) ? Gather::apply(x, rows_N) : ops::unfused::gather_rows(x, rows_N);
}

at::Tensor fused_scatter_rows(const at::Tensor& x, const at::Tensor& rows_N, std::int64_t count) {
  return fits(x, rows_N) && rows_N.size(0) == x.size(0)
             ? Scatter::apply(x, rows_N, count)
             : ops::unfused::scatter_rows(x, rows_N, count);
}

}  // namespace

TORCH_LIBRARY_IMPL(pergola, AutogradCUDA, library) {
  library.impl("gather_rows", fused_gather_rows);
  library.impl("scatter_rows", fused_scatter_rows);
}

// Under inference mode.
TORCH_LIBRARY_IMPL(pergola, CUDA, library) {
  library.impl("gather_rows", fused_gather_rows);
  library.impl("scatter_rows", fused_scatter_rows);
}

}  // namespace pergola::cuda
