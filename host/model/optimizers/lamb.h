// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "host/model/optimizers/multi_tensor.h"
#include "host/model/optimizers/options.h"

namespace pergola::host {

struct LambOptions {
  Betas betas;
  double eps;
  double weight_decay;
  static LambOptions parse(const Config& options);
};

// lamb: algorithm 2 of You et al., "Large batch optimization for deep learning", 2020. For each
// parameter tensor r = m' / (√v' + eps) + weight_decay w, with adam's m' and v', whose bias is
// corrected, and w -= lr |w| / |r| r in L2 norms; the trust ratio |w| / |r| is 1 where one of them
// is 0. The paper's φ is the identity: the norm of w has no bounds.
class Lamb final : public MultiTensorOptimizer {
 public:
  static ComponentSpec spec();
  Lamb(const std::vector<ParameterGroup>& groups, const Config& params);

 protected:
  void update(Batch& batch, double lr, std::size_t group) override;

 private:
  std::vector<LambOptions> options_;  // of each group
};

}  // namespace pergola::host
