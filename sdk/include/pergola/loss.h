// SPDX-License-Identifier: BSD-3-Clause
// Losses: criteria that the host attaches to a model from its config's `losses`
// (names and formulas are MMF's, mmf/modules/losses.py). Used on the training thread.
// They are the model's submodules: what a loss registers moves to the device with the model,
// follows train() and eval(), is saved as `losses.<place in the list>.<name>`, and, where it
// requires a gradient, is trained. What need not be saved is a plain member, made anew from the
// config.
#pragma once

#include "pergola/config.h"
#include "pergola/model_output.h"
#include "pergola/sample_list.h"

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

namespace pergola {

class Registry;

class PERGOLA_API Loss : public torch::nn::Module {
 public:
  Loss();
  ~Loss() override;

  // The loss of one batch: a scalar or [B] tensor under the key "", or several under their own
  // names. Reads `targets` and what else it needs from the batch; writes into nothing.
  // Throws Error{kData} when shapes do not fit.  [train-thread]
  [[nodiscard]] virtual LossMap compute(const SampleList& batch, const ModelOutput& output) = 0;
};

// One entry of `losses`: a name, or {type, params, weight, datasets}.
struct LossConfig {
  TypedConfig component;              // which loss, and its params
  double weight = 1;                  // what its values are multiplied with
  std::vector<std::string> datasets;  // the data sets that it is for; empty: all

  // Throws Error{kConfig} for another key, a weight that is not finite, or `datasets` that is no
  // array of names.
  [[nodiscard]] PERGOLA_API static LossConfig parse(const TypedConfig& entry);
};

// The losses of one model (MMF's Losses and MMFLoss).
class PERGOLA_API Losses : public torch::nn::Module {
 public:
  // `config`: the entries of `losses`. Throws Error{kConfig} for an unknown name, one that is
  // repeated for the same data set, and as LossConfig::parse does.
  Losses(const std::vector<TypedConfig>& config, const Registry& registry);
  ~Losses() override;

  // All values under "{dataset_type}/{dataset_name}/{loss}[/{child}]", of the losses that are for
  // the batch's data set; empty when the batch has no `targets` (a test split without answers).
  [[nodiscard]] LossMap compute(const SampleList& batch, const ModelOutput& output);
  [[nodiscard]] bool empty() const noexcept { return losses_.empty(); }

 private:
  struct Entry {
    LossConfig config;
    std::shared_ptr<Loss> loss;  // shared: torch::nn children are
  };
  std::vector<Entry> losses_;
};

}  // namespace pergola
