// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/cuda/linear_layer.h"

#include "host/device/cuda/kernels/norm.h"
#include "host/device/cuda/kernels/weight_norm.h"
#include "host/device/cuda/launch.h"

#include <ATen/ATen.h>

namespace pergola::cuda {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::size_t kKept = 5;  // tensors of save() that are our own

NormedWeight normed(const at::Tensor& v, const at::Tensor& g, const at::Tensor& norm) {
  return {v.const_data_ptr<float>(), g.const_data_ptr<float>(), norm.const_data_ptr<float>(),
          v.numel()};
}

// Other weights would have to be copied, which half precision does anyway.
bool is_float32_in_packs(const LayerArguments& layer) {
  const auto fits = [](const at::Tensor& x) {
    return x.scalar_type() == at::kFloat && x.dim() > 0 && x.size(0) % kPack == 0 &&
           x.size(-1) % kPack == 0;
  };
  return fits(layer.weight) && fits(layer.bias);
}

at::Tensor norm_of(const at::Tensor& v) {
  const std::vector<NormTensor> tensors = {{Type::kFloat, v.const_data_ptr(), v.numel()}};
  const at::Tensor workspace = at::empty({norm_parts(tensors)}, v.options());
  at::Tensor result = at::empty({}, v.options());
  norm(tensors, workspace.mutable_data_ptr<float>(), result.mutable_data_ptr<float>(),
       c10::cuda::getCurrentCUDAStream());
  check_launch();
  return result;
}

}  // namespace

bool is_fused_layer(const LayerArguments& layer, std::optional<at::ScalarType> type) {
  const at::Device device = layer.x.device();
  const bool normed = layer.weight_g.has_value() && layer.weight_g->defined();
  if (type == at::kFloat && !is_float32_in_packs(layer)) return false;
  return type && layer.x.dim() > 0 && layer.x.numel() > 0 && layer.weight.dim() == 2 &&
         layer.weight.numel() > 0 && layer.weight.size(1) == layer.x.size(-1) &&
         layer.bias.dim() == 1 && layer.bias.size(0) == layer.weight.size(0) &&
         layer.weight.device() == device && layer.bias.device() == device &&
         (!normed || (layer.weight.scalar_type() == at::kFloat && layer.weight_g->numel() == 1 &&
                      layer.weight_g->device() == device));
}

LayerPass::LayerPass(const LayerArguments& layer, at::ScalarType type)
    : outputs_(layer.weight.size(0)), x_sizes_(layer.x.sizes().vec()), relu_(layer.relu) {
  x_NK_ = with_whole_rows(as_rows(layer.x.to(type)));
  set_weight(layer, type);
  bias_M_ = in_whole_packs(layer.bias, type);
}

// A normalized weight is multiplied as such: its number of bytes is that of a copy of v, and its
// rounding that of a weight which is made in float32 first.
void LayerPass::set_weight(const LayerArguments& layer, at::ScalarType type) {
  if (!layer.weight_g || !layer.weight_g->defined()) {
    weight_MK_ = with_whole_rows(in_whole_packs(layer.weight, type));
    return;
  }
  v_ = layer.weight.contiguous();
  g_ = as_float(*layer.weight_g);
  norm_ = norm_of(v_);
  const std::vector<std::int64_t> sizes = {whole_packs(outputs_), v_.size(1)};
  const at::TensorOptions options = v_.options().dtype(type);
  const at::Tensor weight =
      sizes[0] == outputs_ ? at::empty(sizes, options) : at::zeros(sizes, options);
  normed_weight(*type_of(type), normed(v_, g_, norm_), weight.data_ptr(),
                c10::cuda::getCurrentCUDAStream());
  check_launch();
  weight_MK_ = with_whole_rows(weight);
}

at::Tensor LayerPass::forward() const { return linear_rows(x_NK_, weight_MK_, bias_M_, relu_); }

void LayerPass::save(AutogradContext& context, const std::vector<at::Tensor>& more) const {
  variable_list kept = {x_NK_, weight_MK_, v_, g_, norm_};
  kept.insert(kept.end(), more.begin(), more.end());
  context.save_for_backward(std::move(kept));
  context.saved_data["sizes"] = x_sizes_;
  context.saved_data["outputs"] = outputs_;
  context.saved_data["relu"] = relu_ == Relu::kYes;
}

LayerPass::LayerPass(AutogradContext& context)
    : outputs_(context.saved_data["outputs"].toInt()),
      x_sizes_(context.saved_data["sizes"].toIntVector()),
      relu_(context.saved_data["relu"].toBool() ? Relu::kYes : Relu::kNo) {
  variable_list kept = context.get_saved_variables();
  x_NK_ = kept[0];
  weight_MK_ = kept[1];
  v_ = kept[2];
  g_ = kept[3];
  norm_ = kept[4];
  more_.assign(kept.begin() + kKept, kept.end());
}

at::Tensor LayerPass::gradient_rows(const at::Tensor& gradient) const {
  return with_whole_rows(as_rows(gradient.to(type())));
}

at::Tensor LayerPass::to_gradient_of_v(const at::Tensor& gradient,
                                       const at::Tensor& g_gradient) const {
  const at::Tensor dense = gradient.contiguous();  // ours alone
  const at::Tensor workspace = at::empty({normed_weight_workspace(v_.numel())}, v_.options());
  normed_weight_backward(normed(v_, g_, norm_), dense.mutable_data_ptr<float>(),
                         g_gradient.mutable_data_ptr<float>(), workspace.mutable_data_ptr<float>(),
                         c10::cuda::getCurrentCUDAStream());
  check_launch();
  return dense;
}

LayerPass::Gradients LayerPass::backward(AutogradContext& context, const at::Tensor& dz_NM,
                                         const at::Tensor& dbias_M, std::size_t g_input) const {
  Gradients found;
  const std::int64_t inputs = x_sizes_.back();
  if (context.needs_input_grad(0)) {
    const at::Tensor dx_NK = at::empty_like(x_NK_);
    multiply({dz_NM}, {weight_MK_}, dx_NK, /*accumulate=*/false);
    found.x = dx_NK.narrow(1, 0, inputs).reshape(x_sizes_);
  }
  if (context.needs_input_grad(2)) found.bias = dbias_M.narrow(0, 0, outputs_);
  const bool learns_g = v_.defined() && context.needs_input_grad(g_input);
  if (!context.needs_input_grad(1) && !learns_g) return found;
  found.weight = weight_gradient(dz_NM, x_NK_).narrow(0, 0, outputs_).narrow(1, 0, inputs);
  if (!v_.defined()) return found;
  const at::Tensor g_gradient = at::empty(g_.sizes(), g_.options());
  found.weight = to_gradient_of_v(found.weight, g_gradient);
  if (learns_g) found.weight_g = g_gradient;
  return found;
}

}  // namespace pergola::cuda
