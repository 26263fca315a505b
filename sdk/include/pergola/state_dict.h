// SPDX-License-Identifier: BSD-3-Clause
// Named weights, as torch's state_dict: parameters and buffers, in registration order.
#pragma once

#include "pergola/export.h"

#include <torch/nn/module.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pergola {

using StateDict = std::vector<std::pair<std::string, at::Tensor>>;

enum class Strict { kNo, kYes };

struct LoadReport {
  std::vector<std::string> missing_keys;     // the model has them, the state does not
  std::vector<std::string> unexpected_keys;  // the state has them, the model does not
};

// All parameters and buffers of `module`, parameters first in each module, sharing its memory.
// A buffer that is undefined is left out.
[[nodiscard]] PERGOLA_API StateDict state_dict(const torch::nn::Module& module);

// How weights are read from a path; the host brings it. Throws Error{kCheckpoint}.
using WeightReader = StateDict (*)(const std::string& path);
// The one that BaseModel::from_pretrained uses from now on.  [main-thread]
PERGOLA_API void set_weight_reader(WeightReader reader);
// Throws Error{kCheckpoint} when no host has set one.  [main-thread]
[[nodiscard]] PERGOLA_API StateDict read_weights(const std::string& path);

}  // namespace pergola
