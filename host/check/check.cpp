// SPDX-License-Identifier: BSD-3-Clause
#include "host/check/check.h"

#include "host/check/examination.h"
#include "host/check/examination_child.h"
#include "host/plugin/probe.h"
#include "host/support/hash.h"
#include "host/support/printable.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>

namespace pergola::host {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kModelConfig = "model_config";

PluginFile usable_plugin(const CheckRequest& request) {
  PluginFile file = inspect_plugin(request.file, request.policy);
  if (!file.usable()) throw Error(ErrorKind::kPlugin, file.problem);
  return file;
}

// `wanted`, or all of `known` when there are none. Throws for one that is not known.
std::vector<std::string> chosen(const std::vector<std::string>& wanted,
                                const std::vector<std::string>& known, const std::string& what) {
  for (const std::string& name : wanted) {
    if (std::ranges::find(known, name) != known.end()) continue;
    throw Error(ErrorKind::kConfig, "there is no ", what, " '", printable(name), "'",
                did_you_mean(name, known));
  }
  if (wanted.empty()) return known;
  std::vector<std::string> once;
  for (const std::string& name : wanted) {
    if (std::ranges::find(once, name) == once.end()) once.push_back(name);
  }
  return once;
}

std::vector<std::string> names_of_examinations() {
  std::vector<std::string> names = {kLoadExamination};
  for (const Examination& each : examinations()) names.emplace_back(each.name);
  return names;
}

// Which models, and which examinations of each.
struct Plan {
  std::vector<std::string> models;
  std::vector<const Examination*> examinations;
};

Plan plan_of(const CheckRequest& request, const PluginManifest& manifest) {
  Plan plan;
  const std::vector<std::string> models = manifest.keys("model");
  if (!request.models.empty() || !models.empty()) {
    plan.models = chosen(request.models, models, concat("model in ", manifest.name, " called"));
  }
  for (const std::string& name :
       chosen(request.examinations, names_of_examinations(), "examination")) {
    const Examination* examination = find_examination(name);
    if (examination != nullptr)
      plan.examinations.push_back(examination);  // load comes first anyway
  }
  return plan;
}

// `change` is of the config of one of the models.
void check_override(const Override& change, const std::vector<std::string>& models) {
  const bool is_whole_table = change.path.size() == 2 && change.value.is_table();
  const bool is_of_model = change.path.size() > 2 || is_whole_table;
  if (!is_of_model || change.path[0] != Override::Step(kModelConfig)) {
    throw Error(ErrorKind::kConfig, "'", printable(change.key),
                "' is not of a model's config; expected model_config.<model>.<key>=value: nothing "
                "else of a run is there in an examination");
  }
  const auto* model = std::get_if<std::string>(&change.path[1]);
  static_cast<void>(chosen({model == nullptr ? "" : *model}, models, "model"));
}

// The manifest's config for an examination, under what the command line says.
Value config_of(const CheckRequest& request, const std::string& key,
                const ConfigurableManifest& model) {
  Value root = Value::Table{{kModelConfig, Value(Value::Table{{key, examined_config(model)}})}};
  std::vector<Override> own;
  std::ranges::copy_if(request.overrides, std::back_inserter(own), [&](const Override& change) {
    return change.path[1] == Override::Step(key);
  });
  apply_overrides(root, own);
  Value config = root[kModelConfig][key];
  ConfigParams params = model.params;
  const auto is_losses = [](const ConfigParam& param) { return param.spec.name == "losses"; };
  if (std::ranges::none_of(params, is_losses)) params.emplace_back().spec.name = "losses";
  check_params(Config(config, concat(kModelConfig, ".", key)), params,
               concat("`pergola plugins inspect ", request.file.string(), "`"));
  return config;
}

Finding examine_load(const PluginFile& file, const CheckRequest& request) {
  const ProbeResult result = probe_plugin(file, request.policy, {.time = request.time_limit});
  if (!result.problem.empty()) return failed(printable_lines(result.problem));
  const std::size_t models = file.manifest->models.size();
  return passed(concat("registers what its plugin.toml says; ", models,
                       models == 1 ? " model is made" : " models are made"));
}

class Checker {
 public:
  Checker(const CheckRequest& request, PluginFile file,
          const std::function<void(const Examined&)>& tell)
      : request_(request), file_(std::move(file)), tell_(tell) {
    report_.plugin = concat(file_.manifest->name, " ", file_.manifest->version);
    report_.file = request.file;
    report_.sha256 = sha256_file(request.file, ErrorKind::kPlugin);
  }

  CheckReport check() {
    const Plan plan = plan_of(request_, *file_.manifest);
    const std::vector<ExaminedModel> models = models_of(plan);
    const bool is_loaded = add("", kLoadExamination, [&] { return examine_load(file_, request_); });
    for (const ExaminedModel& model : models) {
      examine(model, plan.examinations, is_loaded ? "" : "the plugin cannot be loaded");
    }
    return std::move(report_);
  }

 private:
  // Before anything is tried, so that a mistake in the command line is told at once.
  std::vector<ExaminedModel> models_of(const Plan& plan) const {
    for (const Override& change : request_.overrides) check_override(change, plan.models);
    std::vector<ExaminedModel> models;
    for (const std::string& key : plan.models) {
      const ConfigurableManifest& model = file_.manifest->models.at(key);
      models.push_back(
          {request_.file, request_.policy, key, config_of(request_, key, model), model.inputs});
    }
    return models;
  }

  // `obstacle`: why nothing can be examined; "": nothing is in the way.
  void examine(const ExaminedModel& model, const std::vector<const Examination*>& all,
               std::string obstacle) {
    std::string batch_obstacle;
    for (const Examination* each : all) {
      const bool is_build = each->name == std::string_view(kBuildExamination);
      const bool is_good = add(model.key, each->name, [&] {
        if (!obstacle.empty()) return skipped(obstacle);
        if (each->uses == Uses::kBatches && !is_build) {
          if (!batch_obstacle.empty()) return skipped(batch_obstacle);
          if (model.inputs.fields.empty()) return failed(without_fields(model.key));
        }
        return run_examination(*each, model, request_.time_limit);
      });
      if (is_good) continue;
      if (is_build) obstacle = "the model cannot be built";
      const bool is_contract = each->name == std::string_view(kContractExamination);
      if (is_contract) batch_obstacle = "forward() and losses are not as expected: see contract";
      if (model.inputs.fields.empty()) batch_obstacle = "it is not known what the model reads";
    }
  }

  static std::string without_fields(const std::string& key) {
    return concat("plugin.toml does not say what forward() reads of a batch; add [models.", key,
                  ".fields], a line for each field: text = { dtype = \"int64\", shape = [\"T\"], "
                  "low = 1, below = \"text_vocab_size\" }");
  }

  // Whether it did not fail.
  template <class Examine>
  bool add(const std::string& model, const char* examination, Examine run) {
    const Clock::time_point begin = Clock::now();
    Examined examined{model, examination, run(), 0};
    examined.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    if (tell_) tell_(examined);
    report_.examined.push_back(std::move(examined));
    return report_.examined.back().finding.verdict != Verdict::kFailed;
  }

  const CheckRequest& request_;
  PluginFile file_;
  const std::function<void(const Examined&)>& tell_;
  CheckReport report_;
};

}  // namespace

int CheckReport::count(Verdict verdict) const {
  return static_cast<int>(std::ranges::count_if(
      examined, [&](const Examined& each) { return each.finding.verdict == verdict; }));
}

std::vector<PlannedExamination> planned(const CheckRequest& request) {
  const Plan plan = plan_of(request, *usable_plugin(request).manifest);
  std::vector<PlannedExamination> all;
  for (const std::string& model : plan.models) {
    for (const Examination* each : plan.examinations)
      all.push_back({model, each->name, each->question});
  }
  return all;
}

CheckReport check_plugin(const CheckRequest& request,
                         const std::function<void(const Examined&)>& tell) {
  return Checker(request, usable_plugin(request), tell).check();
}

}  // namespace pergola::host
