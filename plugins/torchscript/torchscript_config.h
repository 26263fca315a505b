// SPDX-License-Identifier: BSD-3-Clause
// `model_config.torchscript` as a struct: parsed and checked once. Plain data.
#pragma once

#include "pergola/config.h"

#include <cstdint>
#include <string>
#include <vector>

namespace pergola::torchscript {

// An argument of the script's method, and the field of the batch that it is given.
struct InputConfig {
  std::string argument;  // empty: the next one in the method's order
  std::string field;     // "image", or of a group "image_info_0.max_features"
};

struct TorchScriptConfig {
  std::int64_t num_final_outputs = 0;  // answers, from the data set; 0: not known
  std::string file;                    // the archive
  std::string method;
  std::vector<InputConfig> inputs;   // all with `argument`, or all without
  std::vector<std::string> outputs;  // names of a tuple's items, in order
  std::string scores;                // the one of the outputs that is the scores

  // Throws Error{kConfig} for an unknown key, a wrong type, and for a `file` or `inputs` that is
  // missing.
  [[nodiscard]] static TorchScriptConfig parse(const Config& config);
};

}  // namespace pergola::torchscript
