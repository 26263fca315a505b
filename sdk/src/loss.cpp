// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/loss.h"

#include "pergola/error.h"
#include "pergola/registry.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

namespace pergola {
namespace {

// True when there may be a data set that both are for.
bool overlap(const LossConfig& a, const LossConfig& b) {
  return a.datasets.empty() || b.datasets.empty() ||
         std::ranges::find_first_of(a.datasets, b.datasets) != a.datasets.end();
}

}  // namespace

Loss::Loss() = default;
Loss::~Loss() = default;

LossConfig LossConfig::parse(const TypedConfig& entry) {
  const Config& options = entry.options;
  options.allow_only({"type", "params", "weight", "datasets"});
  constexpr double kMost = std::numeric_limits<double>::max();
  return {entry, options.get_float("weight", 1.0, -kMost, kMost),
          options.get<std::vector<std::string>>("datasets", {})};
}

Losses::Losses(const std::vector<TypedConfig>& config, const Registry& registry) {
  for (const TypedConfig& entry : config) {
    LossConfig parsed = LossConfig::parse(entry);
    for (const Entry& earlier : losses_) {
      if (earlier.config.component.type == entry.type && overlap(earlier.config, parsed)) {
        throw Error(ErrorKind::kConfig, entry.where, " names the loss '", entry.type,
                    "' a second time; name it once, or give each the datasets that it is for");
      }
    }
    losses_.push_back(
        {std::move(parsed), register_module(concat(losses_.size()), registry.make_loss(entry))});
  }
}

Losses::~Losses() = default;

LossMap Losses::compute(const SampleList& batch, const ModelOutput& output) {
  LossMap values;
  if (!batch.has("targets")) return values;
  const std::string prefix = batch.dataset_type() + "/" + batch.dataset_name() + "/";
  for (const auto& [config, loss] : losses_) {
    const auto& only = config.datasets;
    if (!only.empty() && std::ranges::find(only, batch.dataset_name()) == only.end()) continue;
    for (const auto& [child, value] : loss->compute(batch, output)) {
      const std::string& name = config.component.type;
      const std::string key = prefix + name + (child.empty() ? "" : "/" + child);
      if (!value.defined()) {
        throw Error(ErrorKind::kPlugin, "loss '", name, "' returned no tensor for ", key,
                    "; return a scalar or one value a sample");
      }
      values.emplace(key, config.weight == 1 ? value : value * config.weight);
    }
  }
  return values;
}

}  // namespace pergola
