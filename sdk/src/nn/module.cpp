// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/nn/module.h"

namespace pergola::nn {

torch::nn::Module& child_level(torch::nn::Module& parent, const std::string& name) {
  for (const auto& child : parent.named_children()) {
    if (child.key() == name) return *child.value();
  }
  return *parent.register_module(name, std::make_shared<torch::nn::Module>(name));
}

}  // namespace pergola::nn
