// SPDX-License-Identifier: BSD-3-Clause
// What loss_bench compares: for each loss its inputs, and the operators of torch that it stands
// for.
#pragma once

#include "pergola/value.h"

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace pergola::host {

// Both sides make the same number of the same tensors: torch's by its own loss where it has one,
// without checks and without masks that are not needed here.
struct LossPair {
  std::string loss;  // its key
  Value::Table params;
  std::map<std::string, at::Tensor> output;  // "scores", and the model's fields
  std::map<std::string, at::Tensor> batch;   // "info.<name>": in the group info
  std::function<at::Tensor()> torch;
};

// Scores of VQA's size (512 x 3129), captions (64 x 20 x 5000), and embeddings (512 x 768).
[[nodiscard]] std::vector<LossPair> loss_pairs(at::Device device);

}  // namespace pergola::host
