// SPDX-License-Identifier: BSD-3-Clause
// From two vectors to one: the ten fusions of MMF, most of them bilinear with a matrix that is made
// small in one way or another, with MMF's defaults and state-dict names. For users' plugins: none
// of those that come along has one (plugins/fusions concatenates or averages). A model takes all by
//   fusion_ = register_module("fusion", nn::make_fusion(config, {question_dim, image_dim},
//   out_dim));
// Modules own their weights; used on the training thread.
// Legend: B = batch, I and J = widths of the two inputs, M = mm_dim, O = width of the result.
#pragma once

#include "pergola/config.h"
#include "pergola/nn/bert.h"

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace pergola::nn {

// In all but the last two, each input first passes a linear layer of its own (MFH: two).
enum class FusionType {
  kBlock,        // chunks, each a bilinear product of that rank (Ben-Younes et al., "BLOCK", 2019)
  kBlockTucker,  // chunks, each a whole bilinear product
  kMutan,        // one bilinear product of that rank (Ben-Younes et al., "MUTAN", 2017)
  kTucker,       // one whole bilinear product
  kMlb,          // product, element by element (Kim et al., 2017)
  kMfb,          // that, summed over groups of `factor` (Yu et al., 2017)
  kMfh,          // two of these, the second times the first (Yu et al., 2018)
  kLinearSum,    // sum
  kMcb,          // count sketches, convolved (Fukui et al., 2016)
  kConcatMlp,    // both side by side through linear layers
};

// Where a product gets signed roots, sign(z) sqrt(|z|), and then the length 1.
enum class FusionNorm { kNone, kEachChunk, kWhole };

// {type = "block", params = {...}}; the members are named as the params. Of those that a type does
// not have, leave the values as they are.
struct PERGOLA_API FusionConfig {
  FusionType type = FusionType::kBlock;
  std::int64_t mm_dim = 1600;
  std::int64_t chunks = 20;
  std::int64_t rank = 15;
  std::int64_t factor = 2;
  bool shared = false;                                // one set of layers for both inputs
  FusionNorm norm = FusionNorm::kEachChunk;           // `normalize`, or `pos_norm` of block
  std::optional<Activation> activ_input;              // after the first linear layers
  std::optional<Activation> activ_output;             // of the result
  double dropout_input = 0;                           // after the first linear layers
  double dropout_pre_norm = 0;                        // mfb: of the product
  double dropout_pre_lin = 0;                         // before the last linear layer
  double dropout_output = 0;                          // of the result
  std::vector<std::int64_t> dimensions = {500, 500};  // concat_mlp: widths of the hidden layers
  std::optional<Activation> activation = Activation::kRelu;  // concat_mlp: after each of them
  double dropout = 0;                                        // concat_mlp: after each of them
  Config params;  // what it was parsed from, for messages

  // MMF's numbers for that type.
  [[nodiscard]] static FusionConfig defaults(FusionType type);
  // The one that `key` of `config` names, a name or {type, params}: the types are block,
  // block_tucker, mutan, tucker, mlb, mfb, mfh, linear_sum, mcb and concat_mlp; activations are
  // "none", "relu", "gelu", "gelu_new" and "tanh"; pos_norm is "before_cat" or "after_cat". Throws
  // Error{kConfig} when the key is missing, for another type, unknown params, numbers out of
  // bounds, and more chunks than mm_dim.  [main-thread]
  [[nodiscard]] static FusionConfig parse(const Config& config, std::string_view key);

  // The width of each chunk of mm_dim: as equal as MMF makes them.
  [[nodiscard]] std::vector<std::int64_t> chunk_sizes() const;
};

// The widths of the two inputs.
struct FusionInputs {
  std::int64_t dim0 = 0, dim1 = 0;
};

class PERGOLA_API Fusion : public torch::nn::Module {
 public:
  ~Fusion() override;

  // [B, I] and [B, J] → [B, O]. Two have more forms:
  //   concat_mlp: [B, T, width] for one or both → [B, T, O]; the other one is that of every T
  //   mcb:        maps [B, I, rows, columns] and [B, J, rows, columns] → [B, O], summed over places
  // Half precision stays what it is; roots, lengths and Fourier transforms are computed in single.
  // Throws Error{kData} for other shapes.  [train-thread]
  [[nodiscard]] at::Tensor forward(const at::Tensor& x0, const at::Tensor& x1);

 protected:
  explicit Fusion(const FusionInputs& inputs) : inputs_(inputs) {}

  // Whether tensors of these sizes, of one batch, can be fused.
  [[nodiscard]] virtual bool takes(at::IntArrayRef sizes0, at::IntArrayRef sizes1) const;
  [[nodiscard]] virtual at::Tensor fuse(const at::Tensor& x0, const at::Tensor& x1) = 0;
  [[nodiscard]] const FusionInputs& inputs() const noexcept { return inputs_; }

 private:
  const FusionInputs inputs_;
};

// A new one with random weights, drawn as torch::nn::Linear and Bilinear draw theirs. Throws
// Error{kConfig} when `shared` is set for inputs of different widths.  REQUIRES: all widths are
// positive.  [main-thread]
[[nodiscard]] PERGOLA_API std::shared_ptr<Fusion> make_fusion(const FusionConfig& config,
                                                              const FusionInputs& inputs,
                                                              std::int64_t output_dim);

}  // namespace pergola::nn
