// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/losses/multi.h"

#include "pergola/log.h"
#include "pergola/registry.h"

#include <ATen/ATen.h>

namespace pergola::host {
namespace {

// The first value that a loss made. A LossMap is sorted by name; bce_kl makes kl first.
const LossMap::value_type& first(const std::string& type, const LossMap& values) {
  return *(type == "bce_kl" ? values.find("kl") : values.begin());
}

}  // namespace

ComponentSpec Multi::spec() {
  return {"the weighted sum of other losses",
          {{.name = "params",
            .fallback = {},
            .meaning = "the losses, each a name or {type, weight, params}; weight is 1 by default",
            .type = Value::Type::kArray}}};
}

Multi::Multi(const Config& params, const Registry& registry) {
  for (const TypedConfig& entry : params.typed_list("params")) {
    LossConfig config = LossConfig::parse(entry);
    if (!config.datasets.empty()) {
      throw Error(ErrorKind::kConfig, entry.where,
                  " has 'datasets', but is a part of 'multi'; set datasets of the multi itself");
    }
    std::shared_ptr<Loss> loss = registry.make_loss(entry);
    register_module(concat(children_.size()), loss);
    children_.push_back({std::move(config), std::move(loss)});
  }
  if (children_.empty()) {
    throw Error(ErrorKind::kConfig, "multi of ", params.path(),
                " names no loss; expected {type = \"multi\", params = [{type = \"logit_bce\", "
                "weight = 0.5}, ...]}");
  }
}

LossMap Multi::compute(const SampleList& batch, const ModelOutput& output) {
  at::Tensor sum;
  for (Child& child : children_) {
    const std::string& type = child.config.component.type;
    const LossMap values = child.loss->compute(batch, output);
    if (values.empty() || !first(type, values).second.defined()) {
      throw Error(ErrorKind::kPlugin, "loss multi: its part '", type,
                  "' returned no tensor; return a scalar or one value a sample");
    }
    const auto& [name, value] = first(type, values);
    if (values.size() > 1 && !child.told) {
      log(LogLevel::kWarning,
          concat("[loss] multi takes '", name, "' of the ", values.size(), " values of ", type,
                 "; name ", type, " in losses itself to have them all"));
      child.told = true;
    }
    const double weight = child.config.weight;
    const at::Tensor weighted = weight == 1 ? value : value * weight;
    sum = sum.defined() ? sum + weighted : weighted;
  }
  return {{"", sum}};
}

}  // namespace pergola::host
