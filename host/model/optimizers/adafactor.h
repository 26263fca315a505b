// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "host/model/optimizers/multi_tensor.h"

#include <optional>

namespace pergola::host {

struct AdafactorOptions {
  double eps_square;  // eps[0]
  double eps_scale;   // eps[1]
  double clip_threshold;
  double decay_rate;
  std::optional<double> beta1;
  double weight_decay;
  bool scale_parameter;
  bool relative_step;
  bool warmup_init;
  // Throws Error{kConfig} for an lr beside relative_step, neither of them, or warmup_init alone.
  static AdafactorOptions parse(const Config& options);
};

// adafactor: Shazeer, Stern, "Adafactor", 2018, with the options, defaults and numbers of
// transformers.Adafactor. The average v of g² + eps[0] has decay 1 - t^decay_rate; of a tensor with
// two dimensions or more only its means over the last and the last but one are kept (rows and
// columns, v ≈ rows columns / mean(rows)). u = g / √v is scaled down to a root mean square of
// clip_threshold, and w -= a u (with beta1: an average of such steps), after weight_decay a w,
// where a = lr, or with relative_step lr's factor times min(0.01, or 1e-6 t with warmup_init, 1 /
// √t); times max(eps[1], rms(w)) with scale_parameter.
//
// With relative_step the base rate is 1, so that a schedule is a factor of that step (transformers
// ignores it there). fp16 and bf16 parameters are updated in fp32.
class Adafactor final : public MultiTensorOptimizer {
 public:
  static ComponentSpec spec();
  Adafactor(const std::vector<ParameterGroup>& groups, const Config& params);

 protected:
  [[nodiscard]] Tensors initial_state(const at::Tensor& parameter,
                                      std::size_t group) const override;
  void update(Batch& batch, double lr, std::size_t group) override;

 private:
  static Tensors scales(const Tensors& parameters, const AdafactorOptions& options);
  static Tensors directions(const Batch& batch, const std::vector<double>& decays,
                            const AdafactorOptions& options);

  std::vector<AdafactorOptions> options_;  // of each group
};

}  // namespace pergola::host
