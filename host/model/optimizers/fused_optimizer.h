// SPDX-License-Identifier: BSD-3-Clause
// An optimizer of the host with kernels of its own: parameters that FusedAdam takes are updated by
// it, all groups at once; others, and groups that have options without a kernel, by update(), group
// by group. Where all parameters are FusedAdam's, the step scales gradients itself and can be
// recorded, after a first one that was not.
#pragma once

#include "host/model/optimizers/device_skip.h"
#include "host/model/optimizers/fused_adam.h"
#include "host/model/optimizers/multi_tensor.h"

#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

class FusedOptimizer : public MultiTensorOptimizer, public DeviceSkip {
 public:
  struct Group {
    FusedAdam::Options options;
    bool has_kernel;
  };

  [[nodiscard]] bool scale_gradients(const at::Tensor& scale) final;
  [[nodiscard]] bool capturable() const override;
  void before_replay() final;
  [[nodiscard]] bool skip_where(const at::Tensor& flag) final;

 protected:
  // `state_names` begin with the step count and the two averages.
  using MultiTensorOptimizer::MultiTensorOptimizer;

  // For the constructor of a class, which knows its options.
  void use_kernels(FusedAdam::Rule rule, const std::vector<Group>& groups);

  // State as the default's, but with the count where the kernels want it: on the device.
  [[nodiscard]] Tensors initial_state(const at::Tensor& parameter,
                                      std::size_t group) const override;
  // counted() of such counts: of a parameter whose gradient, this time, is none for the kernels.
  template <class Function>
  static std::vector<at::Scalar> counted_anywhere(const Tensors& steps, Function function) {
    Tensors on_cpu;
    for (const at::Tensor& step : steps) on_cpu.push_back(step.cpu());
    std::vector<at::Scalar> results = counted(on_cpu, function);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      if (!steps[i].is_cpu()) steps[i].copy_(on_cpu[i]);
    }
    return results;
  }

  [[nodiscard]] bool joins(const at::Tensor& parameter, std::size_t group) const final;
  void update_joined(Batch& batch) final;

 private:
  enum class Which { kAll, kWithGradient };
  [[nodiscard]] bool all_join(Which parameters) const;
  [[nodiscard]] std::vector<double> rates() const;

  std::optional<FusedAdam> fused_;
  std::vector<bool> has_kernel_;  // of each group
};

}  // namespace pergola::host
