// SPDX-License-Identifier: BSD-3-Clause
// The code of sdk/docs/authors_guide.md, each block where it would stand; guide_test.sh numbers
// them.
#include "pergola/plugin.h"

#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <string>
#include <vector>

namespace {

[[maybe_unused]] at::Tensor make_mask(const pergola::SampleList& batch, std::int64_t regions,
                                      const at::Tensor& features_BRD) {
#include "block_1.inc"
  return mask_BR;
}

[[noreturn]] [[maybe_unused]] void parse(const pergola::Config& config) {
#include "block_2.inc"
}

[[maybe_unused]] pergola::ModelOutput own_losses(const pergola::SampleList& batch,
                                                 const at::Tensor& scores_BC,
                                                 const at::Tensor& loss) {
#include "block_3.inc"
}

[[maybe_unused]] void check_shape(const at::Tensor& text_BT) {
#include "block_7.inc"
}

class MyModel final : public pergola::BaseModel {
 public:
  using BaseModel::BaseModel;
  void build() override { register_module("words", torch::nn::Linear(2, 2)); }
  pergola::ModelOutput forward(const pergola::SampleList& /*batch*/) override { return {}; }
#include "block_4.inc"
#include "block_5.inc"
#include "block_6.inc"

 private:
  double temperature_ = 1;
};

[[maybe_unused]] void try_it() {
#include "block_8.inc"
}

}  // namespace
