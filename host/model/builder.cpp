// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/builder.h"

#include "host/config/size_facts.h"
#include "host/model/guard.h"
#include "host/model/summary.h"
#include "host/support/log.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace pergola::host {
namespace {

// `config` with what the data set knows.
Config with_facts(const Config& config, const Value& facts) {
  Value filled = config.value();
  for (const auto& [key, fact] : facts.as_table()) {
    const Value* given = filled.find(key);
    if (given == nullptr) continue;
    if (*given == Value(0)) {
      filled[key] = fact;
      filled[key].set_origin("data set");
    } else if (is_size_fact(key) && given->type() == Value::Type::kInteger &&
               fact.type() == Value::Type::kInteger && given->as_integer() < fact.as_integer()) {
      // It would fail only in the middle of a run.
      throw config.error(key, concat("is less than the ", fact.as_integer(),
                                     " of the data set; set it to 0, which takes over the data "
                                     "set's number, or to at least that"));
    }
  }
  return Config(std::move(filled), config.path());
}

// Every name is that of its tensor in the model, because a checkpoint knows state by its name.
void check_names(const ParameterGroup& group,
                 const torch::OrderedDict<std::string, at::Tensor>& own, const std::string& hook) {
  if (group.names.size() != group.parameters.size()) {
    throw Error(ErrorKind::kPlugin, hook, " gives a group with ", group.names.size(), " names for ",
                group.parameters.size(), " parameters; expected one for each");
  }
  for (std::size_t i = 0; i < group.names.size(); ++i) {
    const at::Tensor* parameter = own.find(group.names[i]);
    if (parameter != nullptr && parameter->is_same(group.parameters[i])) continue;
    throw Error(
        ErrorKind::kPlugin, hook, " gives a parameter the name '", group.names[i], "', ",
        parameter == nullptr ? "which the model does not have" : "which is that of another one",
        parameter == nullptr ? did_you_mean(group.names[i], own.keys()) : "",
        "; expected names as named_parameters() has them");
  }
}

// Every parameter that is trained belongs to exactly one group.
void check_groups(const BaseModel& model, const std::vector<ParameterGroup>& groups,
                  bool allow_unused) {
  const std::string hook = concat("optimizer_parameters() of model '", key_of(model), "'");
  const auto own = model.named_parameters();
  std::set<const void*> seen;
  for (const ParameterGroup& group : groups) {
    check_names(group, own, hook);
    for (std::size_t i = 0; i < group.parameters.size(); ++i) {
      if (seen.insert(group.parameters[i].unsafeGetTensorImpl()).second) continue;
      throw Error(ErrorKind::kPlugin, "parameter ", group.names[i], " is in ", hook,
                  " twice; a parameter belongs to one group");
    }
  }
  std::vector<std::string> unused;
  for (const auto& item : own) {
    if (item.value().requires_grad() && !seen.contains(item.value().unsafeGetTensorImpl())) {
      unused.push_back(item.key());
    }
  }
  if (unused.empty() || allow_unused) return;
  throw Error(
      ErrorKind::kPlugin, hook, " leaves out ", join(unused),
      "; they would never be trained: add them to a group, let them not require a gradient, "
      "or set optimizer.allow_unused_parameters = true");
}

// Frozen parameters have no state, and no place among those whose gradients are clipped.
void drop_frozen(std::vector<ParameterGroup>& groups) {
  for (ParameterGroup& group : groups) {
    ParameterGroup trained{{}, {}, group.options};
    for (std::size_t i = 0; i < group.parameters.size(); ++i) {
      if (!group.parameters[i].requires_grad()) continue;
      trained.names.push_back(group.names[i]);
      trained.parameters.push_back(group.parameters[i]);
    }
    group = std::move(trained);
  }
}

// A schedule whose numbers count epochs.
class ByEpoch final : public Scheduler {
 public:
  ByEpoch(std::unique_ptr<Scheduler> schedule, std::int64_t updates_per_epoch)
      : schedule_(std::move(schedule)), updates_per_epoch_(updates_per_epoch) {}
  double factor(std::int64_t update) override {
    return schedule_->factor(update / updates_per_epoch_);
  }
  void observe(double criterion) override { schedule_->observe(criterion); }
  Value state_dict() const override { return schedule_->state_dict(); }
  void load_state_dict(const Value& state) override { schedule_->load_state_dict(state); }

 private:
  std::unique_ptr<Scheduler> schedule_;
  std::int64_t updates_per_epoch_;
};

bool takes(const Registry& registry, const std::string& scheduler, const std::string& param) {
  const std::optional<ComponentSpec>& spec = registry.spec(Kind::kScheduler, scheduler);
  return spec && std::any_of(spec->params.begin(), spec->params.end(),
                             [&](const ParamSpec& known) { return known.name == param; });
}

}  // namespace

std::shared_ptr<BaseModel> build_model(const Registry& registry, const std::string& key,
                                       const Config& model_config, const Value& facts) {
  const Config config = with_facts(model_config, facts);
  std::shared_ptr<BaseModel> model = guarded(Hook{"the constructor", "model", key}, [&] {
    return registry.make_model(key, config, "model");
  });
  guarded(Hook{"build()", "model", key}, [&] { model->build(); });
  guarded(Hook{"init_losses()", "model", key}, [&] { model->init_losses(registry); });
  log::info("[model] ", key, ": ", summarize(*model).total());
  return model;
}

std::unique_ptr<Optimizer> build_optimizer(const Registry& registry, const BaseModel& model,
                                           const Config& config) {
  if (model.num_parameters() == 0) {
    throw Error(ErrorKind::kPlugin, "model '", key_of(model),
                "' has no parameters, so there is nothing to train; register them in build(), by "
                "register_module() or register_parameter()");
  }
  std::vector<ParameterGroup> groups =
      guarded(Hook{"optimizer_parameters()", "model", key_of(model)},
              [&] { return model.optimizer_parameters(config); });
  check_groups(model, groups, config.get<bool>("allow_unused_parameters", false));
  drop_frozen(groups);
  const TypedConfig typed{config.get<std::string>("type"), config.table("params"), config,
                          "optimizer.type"};
  return guarded(Hook{"the constructor", "optimizer", typed.type},
                 [&] { return registry.make_optimizer(typed, std::move(groups)); });
}

std::unique_ptr<Scheduler> build_scheduler(const Registry& registry, const std::string& type,
                                           const Config& params, RunLength length) {
  const char* const where = "scheduler.type";
  registry.require(Kind::kScheduler, type, where);
  Value filled = params.value();
  if (!params.has("num_training_steps") && takes(registry, type, "num_training_steps")) {
    filled["num_training_steps"] =
        (length.updates + length.updates_per_step - 1) / length.updates_per_step;
    filled["num_training_steps"].set_origin("the run's length");
  }
  const TypedConfig typed{type, Config(std::move(filled), params.path()), {}, where};
  std::unique_ptr<Scheduler> schedule = guarded(Hook{"the constructor", "scheduler", type},
                                                [&] { return registry.make_scheduler(typed); });
  if (length.updates_per_step == 1) return schedule;
  return std::make_unique<ByEpoch>(std::move(schedule), length.updates_per_step);
}

}  // namespace pergola::host
