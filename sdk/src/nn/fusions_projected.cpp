// SPDX-License-Identifier: BSD-3-Clause
// The fusions that are linear0 and linear1, a product, and linear_out. M = mm_dim.
#include "fusion_parts.h"
#include "pergola/nn/module.h"

#include <tuple>

namespace pergola::nn {
namespace {

// [B, n * M] → [B, M], over the n vectors of M.
at::Tensor sum_of_ranks(const at::Tensor& z, std::int64_t rank) {
  return z.unflatten(1, {rank, z.size(1) / rank}).sum(1);
}

// x0^T W_o x1 + b_o for each output o. As two products, since torch's bilinear goes output by
// output and refuses what autocast gives it.
at::Tensor bilinear_product(const torch::nn::Bilinear& bilinear, const at::Tensor& x0,
                            const at::Tensor& x1) {
  const at::Tensor& weight_OIJ = bilinear->weight;
  const at::Tensor rows_BOI =
      at::linear(x1, weight_OIJ.flatten(0, 1)).unflatten(1, weight_OIJ.sizes().slice(0, 2));
  return rows_BOI.matmul(x0.unsqueeze(2)).squeeze(2) + bilinear->bias;
}

// linear0 and linear1, a product, linear_out.
class ProjectedFusion : public LinearFusion {
 protected:
  ProjectedFusion(const FusionConfig& config, const FusionInputs& inputs, std::int64_t width)
      : LinearFusion(config, inputs) {
    std::tie(linear0_, linear1_) = make_inputs("linear0", "linear1", width);
  }

  // [B, width] of both to [B, M].
  [[nodiscard]] virtual at::Tensor product(const at::Tensor& x0, const at::Tensor& x1) = 0;

 private:
  [[nodiscard]] at::Tensor fuse(const at::Tensor& x0, const at::Tensor& x1) final {
    at::Tensor z_BM = product(project(linear0_, x0), project(linear1_, x1));
    if (config().norm == FusionNorm::kWhole) z_BM = signed_root_normalized(z_BM);
    return output(drop(z_BM, config().dropout_pre_lin));
  }

  Linear linear0_{nullptr}, linear1_{nullptr};
};

// block and block_tucker: the product of each chunk by itself.
class ChunkedFusion : public ProjectedFusion {
 protected:
  ChunkedFusion(const FusionConfig& config, const FusionInputs& inputs)
      : ProjectedFusion(config, inputs, config.mm_dim), sizes_(config.chunk_sizes()) {}

  [[nodiscard]] const std::vector<std::int64_t>& sizes() const noexcept { return sizes_; }
  [[nodiscard]] virtual at::Tensor chunk_product(std::size_t chunk, const at::Tensor& x0,
                                                 const at::Tensor& x1) = 0;

 private:
  [[nodiscard]] at::Tensor product(const at::Tensor& x0, const at::Tensor& x1) final {
    const std::vector<at::Tensor> chunks0 = x0.split_with_sizes(sizes_, 1);
    const std::vector<at::Tensor> chunks1 = x1.split_with_sizes(sizes_, 1);
    std::vector<at::Tensor> products;
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
      const at::Tensor z = chunk_product(i, chunks0[i], chunks1[i]);
      const bool normalized = config().norm == FusionNorm::kEachChunk;
      products.push_back(normalized ? signed_root_normalized(z) : z);
    }
    return at::cat(products, 1);
  }

  const std::vector<std::int64_t> sizes_;
};

class Block final : public ChunkedFusion {
 public:
  Block(const FusionConfig& config, const FusionInputs& inputs, std::int64_t output_dim)
      : ChunkedFusion(config, inputs) {
    for (std::size_t i = 0; i < sizes().size(); ++i) {
      const std::int64_t size = sizes()[i];
      const std::string index = std::to_string(i);
      merge0_.push_back(nest(*this, "merge_linears0." + index, Linear(size, size * config.rank)));
      merge1_.push_back(nest(*this, "merge_linears1." + index,
                             config.shared ? merge0_.back() : Linear(size, size * config.rank)));
    }
    make_output(config.mm_dim, output_dim);
  }

 private:
  [[nodiscard]] at::Tensor chunk_product(std::size_t chunk, const at::Tensor& x0,
                                         const at::Tensor& x1) override {
    return sum_of_ranks(merge0_[chunk]->forward(x0) * merge1_[chunk]->forward(x1), config().rank);
  }

  std::vector<Linear> merge0_, merge1_;
};

class BlockTucker final : public ChunkedFusion {
 public:
  BlockTucker(const FusionConfig& config, const FusionInputs& inputs, std::int64_t output_dim)
      : ChunkedFusion(config, inputs) {
    for (const std::int64_t size : sizes()) {
      bilinears_.push_back(nest(*this, "bilinears." + std::to_string(bilinears_.size()),
                                torch::nn::Bilinear(size, size, size)));
    }
    make_output(config.mm_dim, output_dim);
  }

 private:
  [[nodiscard]] at::Tensor chunk_product(std::size_t chunk, const at::Tensor& x0,
                                         const at::Tensor& x1) override {
    return bilinear_product(bilinears_[chunk], x0, x1);
  }

  std::vector<torch::nn::Bilinear> bilinears_;
};

class Mutan final : public ProjectedFusion {
 public:
  Mutan(const FusionConfig& config, const FusionInputs& inputs, std::int64_t output_dim)
      : ProjectedFusion(config, inputs, config.mm_dim) {
    const std::int64_t width = config.mm_dim * config.rank;
    merge0_ = register_module("merge_linear0", Linear(config.mm_dim, width));
    merge1_ =
        register_module("merge_linear1", config.shared ? merge0_ : Linear(config.mm_dim, width));
    make_output(config.mm_dim, output_dim);
  }

 private:
  [[nodiscard]] at::Tensor product(const at::Tensor& x0, const at::Tensor& x1) override {
    return sum_of_ranks(merge0_->forward(x0) * merge1_->forward(x1), config().rank);
  }

  Linear merge0_{nullptr}, merge1_{nullptr};
};

// In MMF `shared` changes nothing here, since it makes a second layer all the same; weights that
// were trained so load with shared = false.
class Tucker final : public ProjectedFusion {
 public:
  Tucker(const FusionConfig& config, const FusionInputs& inputs, std::int64_t output_dim)
      : ProjectedFusion(config, inputs, config.mm_dim),
        bilinear_(register_module(
            "bilinear", torch::nn::Bilinear(config.mm_dim, config.mm_dim, config.mm_dim))) {
    make_output(config.mm_dim, output_dim);
  }

 private:
  [[nodiscard]] at::Tensor product(const at::Tensor& x0, const at::Tensor& x1) override {
    return bilinear_product(bilinear_, x0, x1);
  }

  torch::nn::Bilinear bilinear_;
};

// mlb and linear_sum.
class ElementwiseFusion final : public ProjectedFusion {
 public:
  ElementwiseFusion(const FusionConfig& config, const FusionInputs& inputs, std::int64_t output_dim)
      : ProjectedFusion(config, inputs, config.mm_dim) {
    make_output(config.mm_dim, output_dim);
  }

 private:
  [[nodiscard]] at::Tensor product(const at::Tensor& x0, const at::Tensor& x1) override {
    return config().type == FusionType::kMlb ? x0 * x1 : x0 + x1;
  }
};

class Mfb final : public ProjectedFusion {
 public:
  Mfb(const FusionConfig& config, const FusionInputs& inputs, std::int64_t output_dim)
      : ProjectedFusion(config, inputs, config.mm_dim * config.factor) {
    make_output(config.mm_dim, output_dim);
  }

 private:
  [[nodiscard]] at::Tensor product(const at::Tensor& x0, const at::Tensor& x1) override {
    return drop(x0 * x1, config().dropout_pre_norm)
        .unflatten(1, {config().mm_dim, config().factor})
        .sum(2);
  }
};

}  // namespace

std::shared_ptr<Fusion> make_projected_fusion(const FusionConfig& config,
                                              const FusionInputs& inputs, std::int64_t output_dim) {
  switch (config.type) {
    case FusionType::kBlock:
      return std::make_shared<Block>(config, inputs, output_dim);
    case FusionType::kBlockTucker:
      return std::make_shared<BlockTucker>(config, inputs, output_dim);
    case FusionType::kMutan:
      return std::make_shared<Mutan>(config, inputs, output_dim);
    case FusionType::kTucker:
      return std::make_shared<Tucker>(config, inputs, output_dim);
    case FusionType::kMfb:
      return std::make_shared<Mfb>(config, inputs, output_dim);
    default:  // mlb, linear_sum
      return std::make_shared<ElementwiseFusion>(config, inputs, output_dim);
  }
}

}  // namespace pergola::nn
