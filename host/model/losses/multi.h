// SPDX-License-Identifier: BSD-3-Clause
// A loss made of other losses (MMF's MultiLoss). Used on the training thread.
#pragma once

#include "pergola/component.h"
#include "pergola/loss.h"

#include <memory>
#include <vector>

namespace pergola::host {

// multi: the weighted sum of its children's values. Its config is
//   {type = "multi", params = ["mse", {type = "logit_bce", weight = 0.3, params = {}}]}
// with weight 1 where none is given. The children are submodules. Of a child with several values
// the first counts: kl of bce_kl, otherwise the first by name; that is told once.
class Multi final : public Loss {
 public:
  [[nodiscard]] static ComponentSpec spec();
  // Throws Error{kConfig} for no child, an unknown loss, and a child with `datasets`.
  Multi(const Config& params, const Registry& registry);
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output) override;

 private:
  struct Child {
    LossConfig config;
    std::shared_ptr<Loss> loss;  // shared: torch::nn children are
    bool told = false;
  };
  std::vector<Child> children_;
};

}  // namespace pergola::host
