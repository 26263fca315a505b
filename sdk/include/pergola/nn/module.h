// SPDX-License-Identifier: BSD-3-Clause
// How the parts of a model get the names that weights elsewhere have. Used while a model is built.
#pragma once

#include "pergola/export.h"

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace pergola::nn {

// The module `name` below `parent`, made as an empty one when there is none yet.  [main-thread]
[[nodiscard]] PERGOLA_API torch::nn::Module& child_level(torch::nn::Module& parent,
                                                         const std::string& name);

// Registers `module` (shared, or a holder such as torch::nn::Linear) under a dotted path below
// `parent` and returns it. The levels between carry no behaviour: others wrap their layers in
// classes that only choose one, and the names of those stayed in the state dict.  [main-thread]
template <class M>
M nest(torch::nn::Module& parent, std::string_view path, M module) {
  torch::nn::Module* level = &parent;
  for (auto dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.')) {
    level = &child_level(*level, std::string(path.substr(0, dot)));
    path.remove_prefix(dot + 1);
  }
  level->register_module(std::string(path), module);
  return module;
}

}  // namespace pergola::nn
