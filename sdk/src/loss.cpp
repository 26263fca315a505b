// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/loss.h"

#include "pergola/error.h"
#include "pergola/registry.h"

namespace pergola {

Loss::Loss() = default;
Loss::~Loss() = default;

Losses::Losses(const std::vector<TypedConfig>& config, const Registry& registry) {
  for (const TypedConfig& entry : config) {
    entry.options.allow_only({"type", "params"});
    for (const Entry& earlier : losses_) {
      if (earlier.name == entry.type) {
        throw Error(ErrorKind::kConfig, entry.where, " names the loss '", entry.type,
                    "' a second time; name it once");
      }
    }
    losses_.push_back(
        {entry.type, register_module(concat(losses_.size()), registry.make_loss(entry))});
  }
}

Losses::~Losses() = default;

LossMap Losses::compute(const SampleList& batch, const ModelOutput& output) {
  LossMap values;
  if (!batch.has("targets")) return values;
  const std::string prefix = batch.dataset_type() + "/" + batch.dataset_name() + "/";
  for (const Entry& entry : losses_) {
    for (auto& [child, value] : entry.loss->compute(batch, output)) {
      const std::string key = prefix + entry.name + (child.empty() ? "" : "/" + child);
      if (!value.defined()) {
        throw Error(ErrorKind::kPlugin, "loss '", entry.name, "' returned no tensor for ", key,
                    "; return a scalar or one value a sample");
      }
      values.emplace(key, value);
    }
  }
  return values;
}

}  // namespace pergola
