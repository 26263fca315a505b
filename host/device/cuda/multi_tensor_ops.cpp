// SPDX-License-Identifier: BSD-3-Clause
// pergola::adam_step, pergola::l2_norm and what belongs to them on CUDA
// (host/model/optimizers/fused_adam.h).
#include "host/device/cuda/kernels/adam.h"
#include "host/device/cuda/kernels/norm.h"
#include "host/device/cuda/launch.h"
#include "host/device/cuda/weight_copies.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include <optional>
#include <vector>

namespace pergola::cuda {
namespace {

// As an operator, which the dispatcher finds by its tensor.
bool is_recording_on(const at::Tensor& /*like*/) { return is_recording(); }

void count_version(const at::Tensor& tensor) { tensor.unsafeGetTensorImpl()->bump_version(); }

// `gradient`, in the order in which the parameter lies in memory.
at::Tensor laid_out_as(const at::Tensor& gradient, const at::Tensor& parameter) {
  if (gradient.strides() == parameter.strides()) return gradient;
  return at::empty_like(parameter, gradient.options()).copy_(gradient);
}

void adam_step(at::TensorList parameters, at::TensorList gradients, at::TensorList averages,
               at::TensorList squares, at::TensorList steps, at::IntArrayRef groups,
               at::ArrayRef<double> options, std::int64_t rule, const at::Tensor& rates,
               const std::optional<at::Tensor>& scale, const std::optional<at::Tensor>& skip) {
  const c10::cuda::CUDAGuard on_device(rates.device());
  const bool recording = is_recording();
  std::vector<at::Tensor> laid_out;
  std::vector<AdamTensor> tensors;
  tensors.reserve(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    laid_out.push_back(laid_out_as(gradients[i], parameters[i]));
    const double* const own = options.data() + static_cast<std::size_t>(groups[i]) * kAdamOptions;
    tensors.push_back({parameters[i].mutable_data_ptr<float>(), laid_out[i].const_data_ptr(),
                       averages[i].mutable_data_ptr<float>(), squares[i].mutable_data_ptr<float>(),
                       begin_copy_of(parameters[i], recording), steps[i].mutable_data_ptr<float>(),
                       rates.const_data_ptr<double>() + groups[i], parameters[i].numel(),
                       laid_out[i].scalar_type() == at::kBFloat16, own[0], own[1], own[2], own[3]});
  }
  const at::Tensor workspace =
      at::empty({static_cast<std::int64_t>(tensors.size()), kAdamWorkspace},
                rates.options().dtype(at::kFloat));
  adam(tensors,
       {static_cast<AdamRule>(rule), scale ? scale->const_data_ptr<float>() : nullptr,
        skip ? skip->const_data_ptr<float>() : nullptr},
       workspace.mutable_data_ptr<float>(), c10::cuda::getCurrentCUDAStream());
  check_launch();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    for (const at::Tensor* written : {&parameters[i], &averages[i], &squares[i], &steps[i]}) {
      count_version(*written);
    }
    end_copy_of(parameters[i], recording);
  }
}

void write_numbers_into(const at::Tensor& into, at::ArrayRef<double> values) {
  const c10::cuda::CUDAGuard on_device(into.device());
  write_numbers(values.vec(), into.mutable_data_ptr<double>(), c10::cuda::getCurrentCUDAStream());
  check_launch();
}

at::Tensor l2_norm(at::TensorList given) {
  const c10::cuda::CUDAGuard on_device(given[0].device());
  std::vector<at::Tensor> dense;  // the order of the numbers does not matter
  std::vector<NormTensor> tensors;
  for (const at::Tensor& tensor : given) {
    dense.push_back(tensor.is_non_overlapping_and_dense() ? tensor : tensor.contiguous());
    tensors.push_back(
        {*type_of(tensor.scalar_type()), dense.back().const_data_ptr(), tensor.numel()});
  }
  const at::TensorOptions floats = given[0].options().dtype(at::kFloat);
  const at::Tensor workspace = at::empty({norm_parts(tensors)}, floats);
  at::Tensor result = at::empty({}, floats);
  norm(tensors, workspace.mutable_data_ptr<float>(), result.mutable_data_ptr<float>(),
       c10::cuda::getCurrentCUDAStream());
  check_launch();
  return result;
}

}  // namespace

// For tests; there is none elsewhere.
TORCH_LIBRARY_FRAGMENT(pergola, library) {
  library.def("low_precision_copy(Tensor weight) -> Tensor");
}

TORCH_LIBRARY_IMPL(pergola, CUDA, library) {
  library.impl("low_precision_copy", low_precision_copy);
  library.impl("adam_step", adam_step);
  library.impl("write_numbers", write_numbers_into);
  library.impl("is_recording", is_recording_on);
  library.impl("l2_norm", l2_norm);
}

}  // namespace pergola::cuda
