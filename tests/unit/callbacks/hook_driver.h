// SPDX-License-Identifier: BSD-3-Clause
// Calls the hooks of an update as the trainer does, with the losses that a test chooses.
#pragma once

#include "pergola/base_model.h"
#include "pergola/callback.h"

#include <torch/nn/modules/batchnorm.h>
#include <torch/types.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInf = std::numeric_limits<double>::infinity();

// A batch norm, whose statistics are buffers.
class NormModel final : public BaseModel {
 public:
  NormModel() : BaseModel(Config()) { build(); }
  void build() override { norm_ = register_module("norm", torch::nn::BatchNorm1d(2)); }
  ModelOutput forward(const SampleList& batch) override { return {norm_(batch.tensor("x"))}; }
  [[nodiscard]] at::Tensor running_mean() const { return norm_->running_mean; }

 private:
  torch::nn::BatchNorm1d norm_{nullptr};
};

class HookDriver {
 public:
  HookDriver() {
    state.model = &model;
    batch.add_field("x", torch::tensor({{1.0F, 2.0F}, {3.0F, 4.0F}}));
    batch.add_field("id", Strings{"a", "b"});
    batch.set_dataset("boring", "train");
  }

  // One update of a batch for each of `losses`. Whether its step is to be skipped.
  bool update_with(Callback& callback, const std::vector<LossMap>& losses,
                   std::optional<double> grad_norm = std::nullopt) {
    state.skip_step = false;
    state.grad_norm.reset();
    callback.on_update_start(state);
    ModelOutput output;
    for (const LossMap& map : losses) {
      if (runs_model) output.scores = model.forward(batch).scores;  // moves the statistics
      output.losses = map;
      state.progress.batch_in_epoch += 1;
      callback.on_batch_end(state, batch, output);
    }
    if (grad_norm) state.grad_norm = torch::tensor(*grad_norm);
    callback.on_step_start(state);
    state.progress.update += 1;
    callback.on_update_end(state, batch, output);
    return state.skip_step;
  }
  // Of batches with one loss each.
  bool update(Callback& callback, const std::vector<double>& losses,
              std::optional<double> grad_norm = std::nullopt) {
    std::vector<LossMap> maps;
    for (const double loss : losses) maps.push_back({{"train/boring/own", torch::tensor(loss)}});
    return update_with(callback, maps, grad_norm);
  }

  bool runs_model = false;
  NormModel model;
  TrainerState state;
  SampleList batch;
};

}  // namespace pergola::host
