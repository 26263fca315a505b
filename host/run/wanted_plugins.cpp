// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/wanted_plugins.h"

#include "host/plugin/probe.h"
#include "host/run/session.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <set>
#include <utility>

namespace pergola::host {
namespace {

void add(Kind kind, const std::vector<TypedConfig>& list, std::vector<WantedKey>& wanted) {
  for (const TypedConfig& entry : list) wanted.push_back({kind, entry.type, entry.where});
}

// Losses, and those that a `multi` is made of.
void add_losses(const std::vector<TypedConfig>& list, std::vector<WantedKey>& wanted) {
  add(Kind::kLoss, list, wanted);
  for (const TypedConfig& entry : list) {
    if (entry.type == "multi") add_losses(entry.params.typed_list("params"), wanted);
  }
}

// Those that could be loaded for it, each once. An Error comes again when the keys are looked up.
std::set<const PluginFile*> wanted_files(const RunConfig& config, const PluginCatalog& catalog) {
  Registry own;
  publish_builtins(own);
  std::set<const PluginFile*> files;
  const auto attempt = [](const auto& step) {
    try {
      step();
    } catch (const Error&) {
    }
  };
  attempt([&] {
    for (const WantedKey& wanted : wanted_keys(config)) {
      if (own.has(wanted.kind, wanted.key)) continue;
      attempt([&] { files.insert(catalog.find(kind_name(wanted.kind), wanted.key)); });
    }
  });
  files.erase(nullptr);
  return files;
}

}  // namespace

std::vector<WantedKey> wanted_keys(const RunConfig& config) {
  std::vector<WantedKey> wanted = {{Kind::kModel, config.model, "model"}};
  for (const std::string& dataset : config.datasets) {
    wanted.push_back({Kind::kDataset, dataset, "dataset"});
  }
  add_losses(config.model_config.typed_list("losses"), wanted);
  for (const std::string& dataset : config.datasets) {
    const Config processors = config.dataset_configs.at(dataset).table("processors");
    for (const auto& [name, value] : processors.value().as_table()) {
      const TypedConfig processor = processors.typed(name);
      wanted.push_back({Kind::kProcessor, processor.type, processor.where});
    }
  }
  add(Kind::kMetric, config.evaluation.metrics, wanted);
  add(Kind::kCallback, config.training.callbacks, wanted);
  for (const TypedConfig& callback : config.training.callbacks) {
    callback.options.allow_only({"type", "params"});
  }
  if (config.optimizer)
    wanted.push_back({Kind::kOptimizer, config.optimizer->type, "optimizer.type"});
  if (config.scheduler)
    wanted.push_back({Kind::kScheduler, config.scheduler->type, "scheduler.type"});
  return wanted;
}

void refuse(const WantedKey& wanted, const Registry& registry, const PluginCatalog& catalog) {
  const std::string kind = kind_name(wanted.kind);
  std::vector<std::string> known = registry.keys(wanted.kind);
  const std::vector<std::string> offered = catalog.keys(kind);
  known.insert(known.end(), offered.begin(), offered.end());
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  throw Error(ErrorKind::kConfig, wanted.where, ": ", kind, " '", wanted.key, "' is not registered",
              did_you_mean(wanted.key, known), "; `pergola list ", kind,
              wanted.kind == Kind::kLoss ? "es" : "s", "` shows all");
}

UnfitPlugins try_wanted_plugins(const RunConfig& config, const PluginCatalog& catalog) {
  UnfitPlugins unfit;
  if (!config.probe_plugins) return unfit;
  PluginProber prober(catalog.policy(), Failures::kTryAgain);
  for (const PluginFile* file : wanted_files(config, catalog)) {
    std::string problem = prober.problem_of(*file);
    if (!problem.empty()) unfit.emplace(file->path, std::move(problem));
  }
  return unfit;
}

}  // namespace pergola::host
