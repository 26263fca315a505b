// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/cuda/linear_parts.h"

#include "host/device/cuda/kernels/column_sum.h"
#include "host/device/cuda/launch.h"
#include "host/device/cuda/weight_copies.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>

namespace pergola::cuda {
namespace {

bool is_half(at::ScalarType type) { return type == at::kBFloat16 || type == at::kHalf; }

bool has_copy(const at::Tensor& weight, at::ScalarType type) {
  return type == at::kBFloat16 && weight.scalar_type() == at::kFloat;
}

// What is made below autograd counts its own changes, not those of the tensor whose memory it is.
void count_changes_with(const at::Tensor& view, const at::Tensor& of) {
  if (view.is_inference() || of.is_inference()) return;
  view.unsafeGetTensorImpl()->set_version_counter(of.unsafeGetTensorImpl()->version_counter());
}

}  // namespace

at::Tensor aligned(const at::Tensor& x) {
  const at::Tensor dense = x.contiguous();
  return reinterpret_cast<std::uintptr_t>(dense.const_data_ptr()) % 16 == 0 ? dense : dense.clone();
}

std::optional<at::ScalarType> half_type(const at::Tensor& x) {
  if (at::autocast::is_autocast_enabled(at::kCUDA)) {
    const at::ScalarType type = at::autocast::get_autocast_dtype(at::kCUDA);
    return is_half(type) && x.scalar_type() != at::kDouble ? std::optional(type) : std::nullopt;
  }
  return is_half(x.scalar_type()) ? std::optional(x.scalar_type()) : std::nullopt;
}

std::optional<at::ScalarType> linear_type(const at::Tensor& x) {
  const bool is_float =
      x.scalar_type() == at::kFloat && !at::autocast::is_autocast_enabled(at::kCUDA);
  return is_float ? std::optional(at::kFloat) : half_type(x);
}

at::Tensor in_type(const at::Tensor& weight, at::ScalarType type) {
  return has_copy(weight, type) ? low_precision_copy(weight) : aligned(weight.to(type));
}

at::Tensor in_whole_packs(const at::Tensor& weight, at::ScalarType type) {
  const at::Tensor dense = in_type(weight, type);
  const std::int64_t count = dense.size(0);
  const std::int64_t whole = whole_packs(count);
  if (whole == count) return dense;
  if (has_copy(weight, type)) {  // whose memory goes on
    std::vector<std::int64_t> sizes = dense.sizes().vec();
    sizes.front() = whole;
    const at::Tensor with_rows_behind = dense.as_strided(sizes, dense.strides());
    count_changes_with(with_rows_behind, dense);
    return with_rows_behind;
  }
  std::vector<std::int64_t> around(2 * static_cast<std::size_t>(dense.dim()), 0);
  around.back() = whole - count;
  return at::constant_pad_nd(dense, around);
}

at::Tensor with_whole_rows(const at::Tensor& matrix_NK) {
  const std::int64_t more = whole_packs(matrix_NK.size(1)) - matrix_NK.size(1);
  return more == 0 ? matrix_NK : at::constant_pad_nd(matrix_NK, {0, more});
}

at::Tensor as_rows(const at::Tensor& x) {
  const at::Tensor rows = aligned(x.reshape({-1, x.size(-1)}));
  if (rows.is_alias_of(x)) count_changes_with(rows, x);
  return rows;
}

std::vector<std::int64_t> with_width(at::IntArrayRef sizes, std::int64_t width) {
  std::vector<std::int64_t> result = sizes.vec();
  result.back() = width;
  return result;
}

at::Tensor linear_rows(const at::Tensor& x_NK, const at::Tensor& weight_MK,
                       const at::Tensor& bias_M, Relu relu) {
  at::Tensor y_NM = at::empty({x_NK.size(0), weight_MK.size(0)}, x_NK.options());
  const bool in_epilogue = relu == Relu::kYes && x_NK.scalar_type() != at::kFloat;
  const Epilogue epilogue = in_epilogue ? Epilogue::kReluBias : Epilogue::kBias;
  const bool done =
      multiply({x_NK}, {weight_MK, true}, y_NM, /*accumulate=*/false, epilogue, {bias_M, {}});
  if (!done) y_NM = at::linear(x_NK, weight_MK, bias_M);
  return relu == Relu::kYes && !(done && in_epilogue) ? y_NM.relu_() : y_NM;
}

at::Tensor weight_gradient(const at::Tensor& dy_NM, const at::Tensor& x_NK) {
  const at::Tensor gradient_MK =
      at::empty({dy_NM.size(1), x_NK.size(1)}, dy_NM.options().dtype(at::kFloat));
  multiply({dy_NM, true}, {x_NK}, gradient_MK, /*accumulate=*/false);
  return gradient_MK;
}

// No epilogue of the products: those are slower.
std::vector<at::Tensor> bias_gradients(const std::vector<at::Tensor>& dy_NM,
                                       const at::Tensor& packed_NM) {
  const at::Tensor& first = dy_NM.front();
  const std::int64_t rows = first.size(0);
  const std::int64_t width = first.size(1);
  const at::TensorOptions floats = first.options().dtype(at::kFloat);
  std::vector<at::Tensor> gradients;
  ColumnSums sums;
  for (const at::Tensor& each : dy_NM) {
    gradients.push_back(at::empty({width}, floats));
    sums.from[sums.count] = each.const_data_ptr();
    sums.into[sums.count] = gradients.back().mutable_data_ptr<float>();
    ++sums.count;
  }
  if (packed_NM.defined()) sums.packed = packed_NM.data_ptr();
  const at::Tensor workspace =
      at::empty({sums.count, column_sum_parts(rows, width), width}, floats);
  column_sums(*type_of(first.scalar_type()), sums, rows, width, workspace.mutable_data_ptr<float>(),
              c10::cuda::getCurrentCUDAStream());
  check_launch();
  return gradients;
}

}  // namespace pergola::cuda
