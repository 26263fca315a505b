// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/state_dict.h"

#include "pergola/error.h"

namespace pergola {
namespace {

// torch's own order: a module's parameters, then its buffers, then its children.
void collect(const torch::nn::Module& module, const std::string& prefix, StateDict& state) {
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    if (item.value().defined()) state.emplace_back(prefix + item.key(), item.value().detach());
  }
  for (const auto& item : module.named_buffers(/*recurse=*/false)) {
    if (item.value().defined()) state.emplace_back(prefix + item.key(), item.value().detach());
  }
  for (const auto& item : module.named_children()) {
    collect(*item.value(), prefix + item.key() + ".", state);
  }
}

WeightReader& weight_reader() {
  static WeightReader reader = nullptr;
  return reader;
}

}  // namespace

void set_weight_reader(WeightReader reader) { weight_reader() = reader; }

StateDict read_weights(const std::string& path) {
  if (weight_reader() != nullptr) return weight_reader()(path);
  throw Error(ErrorKind::kCheckpoint, "nothing reads the weights in ", path,
              ": this program has not called set_weight_reader(), as the host does");
}

StateDict state_dict(const torch::nn::Module& module) {
  StateDict state;
  collect(module, "", state);
  return state;
}

}  // namespace pergola
