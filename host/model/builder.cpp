// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/builder.h"

#include "host/model/guard.h"
#include "host/support/log.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <set>

namespace pergola::host {
namespace {

// `config` with what the data set knows.
Config with_facts(const Config& config, const Value& facts) {
  Value filled = config.value();
  for (const auto& [key, fact] : facts.as_table()) {
    const Value* given = filled.find(key);
    if (given == nullptr || !(*given == Value(0))) continue;
    filled[key] = fact;
    filled[key].set_origin("data set");
  }
  return Config(std::move(filled), config.path());
}

// Every parameter that is trained belongs to exactly one group.
void check_groups(const BaseModel& model, const std::vector<ParameterGroup>& groups,
                  bool allow_unused) {
  std::set<const void*> seen;
  for (const ParameterGroup& group : groups) {
    for (std::size_t i = 0; i < group.parameters.size(); ++i) {
      if (seen.insert(group.parameters[i].unsafeGetTensorImpl()).second) continue;
      throw Error(ErrorKind::kPlugin, "parameter ", group.names[i],
                  " is in optimizer_parameters() twice; a parameter belongs to one group");
    }
  }
  std::vector<std::string> unused;
  for (const auto& item : model.named_parameters()) {
    if (item.value().requires_grad() && !seen.contains(item.value().unsafeGetTensorImpl())) {
      unused.push_back(item.key());
    }
  }
  if (unused.empty() || allow_unused) return;
  throw Error(
      ErrorKind::kPlugin, "optimizer_parameters() leaves out ", join(unused),
      "; they would never be trained: add them to a group, let them not require a gradient, "
      "or set optimizer.allow_unused_parameters = true");
}

}  // namespace

std::shared_ptr<BaseModel> build_model(const Registry& registry, const std::string& key,
                                       const Config& model_config, const Value& facts) {
  const Config config = with_facts(model_config, facts);
  std::shared_ptr<BaseModel> model = guarded("the constructor of model '" + key + "'", [&] {
    return registry.make_model(key, config, "model");
  });
  guarded("build() of model '" + key + "'", [&] { model->build(); });
  guarded("init_losses() of model '" + key + "'", [&] { model->init_losses(registry); });
  log::info("[model] ", key, ": ", model->num_parameters(), " parameters, ",
            model->num_trained_parameters(), " of them trained");
  return model;
}

std::unique_ptr<Optimizer> build_optimizer(const Registry& registry, const BaseModel& model,
                                           const Config& config) {
  std::vector<ParameterGroup> groups = model.optimizer_parameters(config);
  check_groups(model, groups, config.get<bool>("allow_unused_parameters", false));
  const TypedConfig typed{config.get<std::string>("type"), config.table("params"), config,
                          "optimizer.type"};
  return registry.make_optimizer(typed, std::move(groups));
}

std::unique_ptr<Scheduler> build_scheduler(const Registry& registry, const std::string& type,
                                           const Config& params, std::int64_t max_updates) {
  Value filled = params.value();
  if (type.rfind("warmup_", 0) == 0 && filled.find("num_training_steps") == nullptr) {
    filled["num_training_steps"] = max_updates;
  }
  return registry.make_scheduler(
      {type, Config(std::move(filled), params.path()), {}, "scheduler.type"});
}

}  // namespace pergola::host
