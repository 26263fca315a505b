// SPDX-License-Identifier: BSD-3-Clause
// What a model's forward returns. Owns its tensors. Not thread-safe.
// Legend: B = batch, C = classes (answers).
#pragma once

#include "pergola/sample_list.h"

#include <ATen/core/Tensor.h>

#include <map>
#include <optional>
#include <string>

namespace pergola {

// Loss values by key, "{dataset_type}/{dataset_name}/{loss}[/{child}]"; scalars or [B].
using LossMap = std::map<std::string, at::Tensor>;

struct ModelOutput {
  at::Tensor scores;                   // [B, C] logits; may be undefined beside the other two
  std::optional<LossMap> losses = {};  // set by a model that computes its own
  std::map<std::string, at::Tensor> fields = {};  // anything else: attentions, embeddings, ...
};

// The sum over all losses of their means: what the trainer differentiates (MMF's total_loss).
// REQUIRES: losses is not empty.
[[nodiscard]] PERGOLA_API at::Tensor total_loss(const LossMap& losses);

}  // namespace pergola
