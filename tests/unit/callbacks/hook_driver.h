// SPDX-License-Identifier: BSD-3-Clause
// Calls the hooks of an update as the trainer does, with the losses that a test chooses.
#pragma once

#include "pergola/base_model.h"
#include "pergola/callback.h"

#include <torch/types.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

class NoModel final : public BaseModel {
 public:
  NoModel() : BaseModel(Config()) {}
  void build() override {}
  ModelOutput forward(const SampleList& /*batch*/) override { return {}; }
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

  NoModel model;
  TrainerState state;
  SampleList batch;
};

}  // namespace pergola::host
