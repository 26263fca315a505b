// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/nn/fusions.h"

#include "fusion_parts.h"
#include "pergola/error.h"
#include "pergola/nn/module.h"

#include <torch/nn/functional/normalization.h>

#include <tuple>

namespace pergola::nn {
namespace {

class Mfh final : public LinearFusion {
 public:
  Mfh(const FusionConfig& config, const FusionInputs& inputs, std::int64_t output_dim)
      : LinearFusion(config, inputs) {
    const std::int64_t width = config.mm_dim * config.factor;
    std::tie(linear0_0_, linear1_0_) = make_inputs("linear0_0", "linear1_0", width);
    std::tie(linear0_1_, linear1_1_) = make_inputs("linear0_1", "linear1_1", width);
    make_output(2 * config.mm_dim, output_dim);
  }

 private:
  [[nodiscard]] at::Tensor pooled(const at::Tensor& z) const {
    const at::Tensor z_BM = z.unflatten(1, {config().mm_dim, config().factor}).sum(2);
    return config().norm == FusionNorm::kWhole ? signed_root_normalized(z_BM) : z_BM;
  }
  [[nodiscard]] at::Tensor fuse(const at::Tensor& x0, const at::Tensor& x1) override {
    const double share = config().dropout_pre_lin;
    const at::Tensor first = drop(project(linear0_0_, x0) * project(linear1_0_, x1), share);
    const at::Tensor second =
        drop(project(linear0_1_, x0) * project(linear1_1_, x1) * first, share);
    return output(at::cat({pooled(first), pooled(second)}, 1));
  }

  Linear linear0_0_{nullptr}, linear1_0_{nullptr}, linear0_1_{nullptr}, linear1_1_{nullptr};
};

// A sketch [I, M] adds each of I numbers, with a random sign, to a random one of M. The sketch of
// an outer product is the circular convolution of both sketches, which the Fourier transform makes
// a product. MMF's result is M times that.
class Mcb final : public LinearFusion {
 public:
  Mcb(const FusionConfig& config, const FusionInputs& inputs, std::int64_t output_dim)
      : LinearFusion(config, inputs) {
    torch::nn::Module& mcb = child_level(*this, "mcb");
    sketch1_IM_ = mcb.register_buffer("sketch1", draw_sketch(inputs.dim0, config.mm_dim));
    sketch2_JM_ = mcb.register_buffer("sketch2", draw_sketch(inputs.dim1, config.mm_dim));
    make_output(config.mm_dim, output_dim);
  }

 private:
  static at::Tensor draw_sketch(std::int64_t inputs, std::int64_t width) {
    const at::Tensor place_I = at::randint(width, {inputs}, at::kLong);
    const at::Tensor sign_I = at::randint(2, {inputs}, at::kLong) * 2 - 1;
    return at::zeros({inputs, width})
        .scatter_(1, place_I.unsqueeze(1), sign_I.to(at::kFloat).unsqueeze(1));
  }

  [[nodiscard]] bool takes(at::IntArrayRef sizes0, at::IntArrayRef sizes1) const override {
    if (sizes0.size() != 4 || sizes1.size() != 4) return Fusion::takes(sizes0, sizes1);
    return sizes0[1] == inputs().dim0 && sizes1[1] == inputs().dim1 &&
           sizes0.slice(2) == sizes1.slice(2);
  }

  [[nodiscard]] at::Tensor fuse(const at::Tensor& x0, const at::Tensor& x1) override {
    const bool maps = x0.dim() == 4;
    const auto spectrum = [maps](const at::Tensor& x, const at::Tensor& sketch) {
      const at::Tensor vectors = maps ? x.flatten(2).transpose(1, 2) : x;
      return at::fft_rfft(at_least_single(vectors.matmul(sketch)));
    };
    at::Tensor product = spectrum(x0, sketch1_IM_) * spectrum(x1, sketch2_JM_);
    if (maps) product = product.sum(1);  // over places
    const std::int64_t width = config().mm_dim;
    return output((at::fft_irfft(product, width) * width).to(x0.scalar_type()));
  }

  at::Tensor sketch1_IM_, sketch2_JM_;  // buffers: never trained, but saved
};

class ConcatMlp final : public Fusion {
 public:
  ConcatMlp(const FusionConfig& config, const FusionInputs& inputs, std::int64_t output_dim)
      : Fusion(inputs), activation_(config.activation), dropout_(config.dropout) {
    std::vector<std::int64_t> widths = config.dimensions;
    widths.push_back(output_dim);
    std::int64_t in = inputs.dim0 + inputs.dim1;
    for (const std::int64_t out : widths) {
      const std::string name = "mlp.linears." + std::to_string(linears_.size());
      linears_.push_back(nest(*this, name, Linear(in, out)));
      in = out;
    }
  }

 private:
  [[nodiscard]] bool takes(at::IntArrayRef sizes0, at::IntArrayRef sizes1) const override {
    const auto of_width = [](at::IntArrayRef sizes, std::int64_t width) {
      return (sizes.size() == 2 || sizes.size() == 3) && sizes.back() == width;
    };
    return of_width(sizes0, inputs().dim0) && of_width(sizes1, inputs().dim1) &&
           (sizes0.size() != 3 || sizes1.size() != 3 || sizes0[1] == sizes1[1]);
  }

  [[nodiscard]] at::Tensor fuse(const at::Tensor& x0, const at::Tensor& x1) override {
    // MMF's own reshape of the one with two dimensions fails unless the other has T = 1.
    const auto spread = [](const at::Tensor& x, const at::Tensor& other) {
      return x.dim() < other.dim() ? x.unsqueeze(1).expand({-1, other.size(1), -1}) : x;
    };
    at::Tensor x = at::cat({spread(x0, x1), spread(x1, x0)}, -1);
    for (Linear& linear : linears_) {
      x = linear->forward(x);
      if (linear.get() == linears_.back().get()) break;
      if (activation_) x = activate(*activation_, x);
      x = at::dropout(x, dropout_, is_training());
    }
    return x;
  }

  const std::optional<Activation> activation_;
  const double dropout_;
  std::vector<Linear> linears_;
};

}  // namespace

// Of the two roots one is 0, and passes no gradient: at 0 that of sign(z) sqrt(|z|) is no number.
at::Tensor signed_root_normalized(const at::Tensor& z_BM) {
  const at::Tensor x_BM = at_least_single(z_BM);
  const at::Tensor root_BM = x_BM.relu().sqrt() - x_BM.neg().relu().sqrt();
  return torch::nn::functional::normalize(root_BM,
                                          torch::nn::functional::NormalizeFuncOptions().p(2).dim(1))
      .to(z_BM.scalar_type());
}

Fusion::~Fusion() = default;

bool Fusion::takes(at::IntArrayRef sizes0, at::IntArrayRef sizes1) const {
  return sizes0.size() == 2 && sizes1.size() == 2 && sizes0[1] == inputs_.dim0 &&
         sizes1[1] == inputs_.dim1;
}

at::Tensor Fusion::forward(const at::Tensor& x0, const at::Tensor& x1) {
  const bool batch = x0.dim() > 0 && x1.dim() > 0 && x0.size(0) == x1.size(0);
  if (!batch || !takes(x0.sizes(), x1.sizes())) {
    throw Error(ErrorKind::kData, "a fusion got inputs of the shapes ", x0.sizes(), " and ",
                x1.sizes(), "; expected [batch, ", inputs_.dim0, "] and [batch, ", inputs_.dim1,
                "]");
  }
  return fuse(x0, x1);
}

std::shared_ptr<Fusion> make_fusion(const FusionConfig& config, const FusionInputs& inputs,
                                    std::int64_t output_dim) {
  PERGOLA_ASSERT(inputs.dim0 > 0 && inputs.dim1 > 0 && output_dim > 0);
  if (config.shared && inputs.dim0 != inputs.dim1) {
    throw config.params.error("shared", concat("needs two inputs of one width; found ", inputs.dim0,
                                               " and ", inputs.dim1));
  }
  switch (config.type) {
    case FusionType::kMfh:
      return std::make_shared<Mfh>(config, inputs, output_dim);
    case FusionType::kMcb:
      return std::make_shared<Mcb>(config, inputs, output_dim);
    case FusionType::kConcatMlp:
      return std::make_shared<ConcatMlp>(config, inputs, output_dim);
    default:
      return make_projected_fusion(config, inputs, output_dim);
  }
}

}  // namespace pergola::nn
