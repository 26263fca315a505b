// SPDX-License-Identifier: BSD-3-Clause
// pergola::dropout_add_layer_norm and pergola::embedding_layer_norm on CUDA.
#include "host/device/cuda/kernels/layer_norm.h"
#include "host/device/cuda/launch.h"
#include "pergola/ops.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <optional>
#include <utility>
#include <vector>

namespace pergola::cuda {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

LayerNormShape shape_of(const at::Tensor& rows_ND, double eps) {
  const std::int64_t width = rows_ND.size(-1);
  return {rows_ND.numel() / width, width, static_cast<float>(eps)};
}

// What a forward pass keeps for the backward pass.
struct Kept {
  at::Tensor sum, mean, rstd;

  [[nodiscard]] LayerNormSaved pointers() const {
    return {sum.data_ptr(), mean.mutable_data_ptr<float>(), rstd.mutable_data_ptr<float>()};
  }
};

Kept kept_for(const at::Tensor& like, const LayerNormShape& shape) {
  const at::TensorOptions floats = like.options().dtype(at::kFloat);
  return {at::empty_like(like), at::empty({shape.rows}, floats), at::empty({shape.rows}, floats)};
}

// How a LayerNorm ended, for its backward pass.
struct Ending {
  double eps = 0;
  Dropout dropout;
  DropoutPlace place = DropoutPlace::kBefore;
};

struct NormGradients {
  at::Tensor sum, x, weight, bias;
};

NormGradients norm_backward(const at::Tensor& y_gradient, const at::Tensor& weight,
                            const Kept& kept, const Ending& ending) {
  const c10::cuda::CUDAGuard on_device(kept.sum.device());
  const LayerNormShape shape = shape_of(kept.sum, ending.eps);
  const at::Tensor dy = y_gradient.to(kept.sum.scalar_type()).contiguous();
  const at::TensorOptions floats = kept.sum.options().dtype(at::kFloat);
  NormGradients gradients{at::empty_like(kept.sum),
                          {},
                          at::empty({shape.width}, floats),
                          at::empty({shape.width}, floats)};
  gradients.x = gradients.sum;
  const bool own = ending.place == DropoutPlace::kBefore && ending.dropout.active();
  if (own) gradients.x = at::empty_like(kept.sum);
  const at::Tensor workspace = at::empty({2, layer_norm_blocks(shape.rows), shape.width}, floats);
  layer_norm_backward(
      *type_of(kept.sum.scalar_type()), shape, dy.const_data_ptr(), weight.const_data_ptr<float>(),
      kept.pointers(), ending.dropout, ending.place,
      {gradients.sum.data_ptr(), own ? gradients.x.data_ptr() : nullptr,
       gradients.weight.mutable_data_ptr<float>(), gradients.bias.mutable_data_ptr<float>(),
       workspace.mutable_data_ptr<float>()},
      c10::cuda::getCurrentCUDAStream());
  check_launch();
  return gradients;
}

void save(AutogradContext& context, const Kept& kept, const at::Tensor& weight,
          const Ending& ending, std::vector<at::Tensor> more = {}) {
  more.insert(more.begin(), {kept.sum, kept.mean, kept.rstd, weight});
  context.save_for_backward(std::move(more));
  const RandomState& random = ending.dropout.random;
  context.saved_data["eps"] = ending.eps;
  context.saved_data["threshold"] = static_cast<std::int64_t>(ending.dropout.threshold);
  context.saved_data["scale"] = static_cast<double>(ending.dropout.scale);
  context.saved_data["random"] = std::vector<std::int64_t>{
      static_cast<std::int64_t>(random.seed), static_cast<std::int64_t>(random.offset),
      reinterpret_cast<std::int64_t>(random.seed_at),
      reinterpret_cast<std::int64_t>(random.offset_at)};
}

Ending ending_of(AutogradContext& context, DropoutPlace place) {
  Ending ending;
  ending.eps = context.saved_data["eps"].toDouble();
  ending.place = place;
  ending.dropout.threshold = static_cast<std::uint32_t>(context.saved_data["threshold"].toInt());
  ending.dropout.scale = static_cast<float>(context.saved_data["scale"].toDouble());
  const std::vector<std::int64_t> random = context.saved_data["random"].toIntVector();
  ending.dropout.random = {static_cast<std::uint64_t>(random[0]),
                           static_cast<std::uint64_t>(random[1]),
                           reinterpret_cast<const std::int64_t*>(random[2]),
                           reinterpret_cast<const std::int64_t*>(random[3])};
  return ending;
}

class AddLayerNorm : public torch::autograd::Function<AddLayerNorm> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_given,
                            const std::optional<at::Tensor>& residual_given,
                            const at::Tensor& weight_given, const at::Tensor& bias_given,
                            double probability, double eps) {
    const c10::cuda::CUDAGuard on_device(x_given.device());
    const at::Tensor x = x_given.contiguous();
    const at::Tensor residual =
        residual_given ? residual_given->to(x.scalar_type()).contiguous() : at::Tensor();
    const at::Tensor weight = as_float(weight_given);
    const at::Tensor bias = as_float(bias_given);
    const LayerNormShape shape = shape_of(x, eps);
    const Ending ending{eps, dropout_of(probability, x.device()), DropoutPlace::kBefore};
    const Kept kept = kept_for(x, shape);
    const at::Tensor y = at::empty_like(x);
    add_layer_norm_forward(*type_of(x.scalar_type()), shape, x.const_data_ptr(),
                           residual.defined() ? residual.const_data_ptr() : nullptr,
                           weight.const_data_ptr<float>(), bias.const_data_ptr<float>(),
                           ending.dropout, y.data_ptr(), kept.pointers(),
                           c10::cuda::getCurrentCUDAStream());
    check_launch();
    save(*context, kept, weight, ending);
    context->saved_data["residual"] = residual.defined();
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_derivatives();
    const variable_list saved = context->get_saved_variables();
    const Kept kept{saved[0], saved[1], saved[2]};
    const NormGradients found =
        norm_backward(gradients[0], saved[3], kept, ending_of(*context, DropoutPlace::kBefore));
    const bool has_residual = context->saved_data["residual"].toBool();
    return {found.x, has_residual ? found.sum : at::Tensor(), found.weight, found.bias, {}, {}};
  }
};

bool is_fused(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return type_of(x.scalar_type()) && x.dim() > 0 && x.numel() > 0 && weight.dim() == 1 &&
         weight.size(0) == x.size(-1) && bias.sizes() == weight.sizes() &&
         weight.device() == x.device() && bias.device() == x.device();
}

at::Tensor fused_dropout_add_layer_norm(const at::Tensor& x,
                                        const std::optional<at::Tensor>& residual,
                                        const at::Tensor& weight, const at::Tensor& bias,
                                        double dropout, double eps) {
  const bool fits =
      !residual || (residual->sizes() == x.sizes() && residual->device() == x.device());
  if (!fits || !is_fused(x, weight, bias)) {
    return ops::unfused::dropout_add_layer_norm(x, residual, weight, bias, dropout, eps);
  }
  return AddLayerNorm::apply(x, residual, weight, bias, dropout, eps);
}

Tables pointers_of(const variable_list& tables, const variable_list& rows, at::ScalarType type) {
  Tables pointers;
  for (std::size_t k = 0; k < tables.size(); ++k) {
    pointers.table[k] = tables[k].const_data_ptr();
    pointers.narrow[k] = type != at::kFloat && tables[k].scalar_type() == type;
    pointers.heights[k] = tables[k].size(0);
    pointers.rows[k] = rows[k].const_data_ptr<std::int64_t>();
  }
  pointers.count = static_cast<int>(tables.size());
  return pointers;
}

// Arguments: weight, bias, the tables, their rows.
class EmbeddingLayerNorm : public torch::autograd::Function<EmbeddingLayerNorm> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& weight_given,
                            const at::Tensor& bias_given, at::TensorList tables_given,
                            const variable_list& rows, at::ScalarType type, double probability,
                            double eps) {
    const c10::cuda::CUDAGuard on_device(tables_given[0].device());
    variable_list tables;
    for (const at::Tensor& table : tables_given) {
      const bool known = table.scalar_type() == type || table.scalar_type() == at::kFloat;
      tables.push_back((known ? table : table.to(at::kFloat)).contiguous());
    }
    const at::Tensor weight = as_float(weight_given);
    const at::Tensor bias = as_float(bias_given);
    const at::Tensor y =
        at::empty({rows[0].size(0), weight.size(0)}, tables[0].options().dtype(type));
    const LayerNormShape shape = shape_of(y, eps);
    const Ending ending{eps, dropout_of(probability, y.device()), DropoutPlace::kAfter};
    const Kept kept = kept_for(y, shape);
    embedding_layer_norm_forward(*type_of(type), shape, pointers_of(tables, rows, type),
                                 weight.const_data_ptr<float>(), bias.const_data_ptr<float>(),
                                 ending.dropout, y.data_ptr(), kept.pointers(),
                                 c10::cuda::getCurrentCUDAStream());
    check_launch();
    save(*context, kept, weight, ending, rows);
    std::vector<std::int64_t> heights;
    for (const at::Tensor& table : tables) heights.push_back(table.size(0));
    context->saved_data["heights"] = heights;
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_derivatives();
    const variable_list saved = context->get_saved_variables();
    const Kept kept{saved[0], saved[1], saved[2]};
    const NormGradients found =
        norm_backward(gradients[0], saved[3], kept, ending_of(*context, DropoutPlace::kAfter));
    const c10::cuda::CUDAGuard on_device(kept.sum.device());
    const std::vector<std::int64_t> heights = context->saved_data["heights"].toIntVector();
    const variable_list rows(saved.begin() + 4, saved.end());
    variable_list result = {found.weight, found.bias};
    Tables tables;
    tables.count = static_cast<int>(rows.size());
    float* into[kMostTables] = {};
    for (std::size_t k = 0; k < rows.size(); ++k) {
      tables.rows[k] = rows[k].const_data_ptr<std::int64_t>();
      result.emplace_back();
      if (!context->needs_input_grad(2 + k)) continue;
      result.back() = at::zeros({heights[k], kept.sum.size(-1)}, found.weight.options());
      into[k] = result.back().mutable_data_ptr<float>();
    }
    const LayerNormShape shape = shape_of(kept.sum, 0);
    embedding_backward(*type_of(kept.sum.scalar_type()), shape, found.sum.const_data_ptr(), tables,
                       into, c10::cuda::getCurrentCUDAStream());
    check_launch();
    result.insert(result.end(), 4, at::Tensor());
    return result;
  }
};

at::Tensor fused_embedding_layer_norm(at::TensorList tables, at::TensorList rows,
                                      const at::Tensor& weight, const at::Tensor& bias,
                                      double dropout, double eps) {
  const at::ScalarType type = at::autocast::is_autocast_enabled(at::kCUDA)
                                  ? at::autocast::get_autocast_dtype(at::kCUDA)
                                  : tables[0].scalar_type();
  bool fits = type_of(type) && tables.size() <= kMostTables && rows[0].numel() > 0 &&
              !at::globalContext().deterministicAlgorithms();
  for (std::size_t k = 0; k < tables.size() && fits; ++k) {
    fits = tables[k].device() == tables[0].device() && rows[k].device() == tables[0].device() &&
           tables[k].dim() == 2 && is_fused(tables[k], weight, bias) &&
           rows[k].sizes() == rows[0].sizes();
  }
  if (!fits) return ops::unfused::embedding_layer_norm(tables, rows, weight, bias, dropout, eps);
  variable_list dense;
  for (const at::Tensor& each : rows) dense.push_back(each.contiguous());
  return EmbeddingLayerNorm::apply(weight, bias, tables, dense, type, dropout, eps);
}

}  // namespace

TORCH_LIBRARY_IMPL(pergola, AutogradCUDA, library) {
  library.impl("dropout_add_layer_norm", fused_dropout_add_layer_norm);
  library.impl("embedding_layer_norm", fused_embedding_layer_norm);
}

// Under inference mode.
TORCH_LIBRARY_IMPL(pergola, CUDA, library) {
  library.impl("dropout_add_layer_norm", fused_dropout_add_layer_norm);
  library.impl("embedding_layer_norm", fused_embedding_layer_norm);
}

}  // namespace pergola::cuda
