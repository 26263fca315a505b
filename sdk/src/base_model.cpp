// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/base_model.h"

#include "pergola/error.h"
#include "pergola/log.h"
#include "pergola/registry.h"
#include "pergola/suggest.h"

#include <map>
#include <set>

namespace pergola {
namespace {

// What of a state fits a model, by the model's key, and what does not.
struct Match {
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;  // into, from
  LoadReport report;
  std::vector<std::string> problems;
};

Match match(const StateDict& own, const std::map<std::string, at::Tensor>& state) {
  Match result;
  std::map<std::string, at::Tensor> rest = state;
  for (const auto& [key, into] : own) {
    const auto found = rest.find(key);
    if (found == rest.end()) {
      result.report.missing_keys.push_back(key);
      continue;
    }
    if (found->second.sizes() == into.sizes()) {
      result.copies.emplace_back(into, found->second);
    } else {
      result.problems.push_back(
          concat(key, " is ", found->second.sizes(), ", the model has ", into.sizes()));
    }
    rest.erase(found);
  }
  for (const auto& [key, tensor] : rest) result.report.unexpected_keys.push_back(key);
  return result;
}

// Each parameter once, under its first name: torch lists those of a submodule that is registered
// twice under both.
std::vector<std::pair<std::string, at::Tensor>> distinct_parameters(
    const torch::nn::Module& module) {
  std::set<const void*> seen;
  std::vector<std::pair<std::string, at::Tensor>> distinct;
  for (const auto& item : module.named_parameters()) {
    if (!seen.insert(item.value().unsafeGetTensorImpl()).second) continue;
    distinct.emplace_back(item.key(), item.value());
  }
  return distinct;
}

// "missing: a, b, c (and 4 more)"
std::string listing(const char* title, const std::vector<std::string>& keys) {
  constexpr std::size_t kMost = 10;
  std::vector<std::string> shown(
      keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(std::min(kMost, keys.size())));
  std::string text = concat(title, join(shown));
  if (keys.size() > kMost) text += concat(" (and ", keys.size() - kMost, " more)");
  return text;
}

}  // namespace

BaseModel::BaseModel(const Config& config) : config_(config) {}
BaseModel::~BaseModel() = default;

void BaseModel::init_losses(const Registry& registry) {
  constexpr const char* kName = "losses";
  if (named_children().contains(kName)) {
    throw Error(ErrorKind::kPlugin,
                "the model has a submodule 'losses', the name that the losses of the config are "
                "saved under; give it another name in build()");
  }
  losses_ =
      register_module(kName, std::make_shared<Losses>(config_.typed_list("losses"), registry));
}

ModelOutput BaseModel::operator()(const SampleList& batch) {
  ModelOutput output = forward(batch);
  if (!output.scores.defined() && !output.losses.has_value()) {
    throw Error(ErrorKind::kPlugin,
                "the model's forward() returned neither scores nor losses; return ModelOutput with "
                "scores of shape [batch, classes], or with its own losses");
  }
  if (output.losses.has_value()) {
    if (!told_about_losses_ && losses_ != nullptr && !losses_->empty()) {
      log(LogLevel::kWarning,
          "[model] the model returns its own losses; those of the config are not used");
    }
    told_about_losses_ = true;
  } else {
    output.losses = losses_ != nullptr ? losses_->compute(batch, output) : LossMap{};
  }
  return output;
}

ModelOutput BaseModel::training_step(const SampleList& batch, std::int64_t /*batch_idx*/) {
  return (*this)(batch);
}
ModelOutput BaseModel::validation_step(const SampleList& batch, std::int64_t /*batch_idx*/) {
  return (*this)(batch);
}
ModelOutput BaseModel::test_step(const SampleList& batch, std::int64_t /*batch_idx*/) {
  return (*this)(batch);
}

std::string BaseModel::format_state_key(const std::string& key) const { return key; }

LoadReport BaseModel::load_state_dict(const StateDict& state, Strict strict) {
  std::map<std::string, at::Tensor> renamed;
  std::vector<std::string> clashes;
  for (const auto& [key, tensor] : state) {
    if (!renamed.emplace(format_state_key(key), tensor).second) {
      clashes.push_back(concat(key, " is a second '", format_state_key(key), "'"));
    }
  }
  Match found = match(pergola::state_dict(*this), renamed);
  found.problems.insert(found.problems.end(), clashes.begin(), clashes.end());
  const LoadReport& report = found.report;
  if (strict == Strict::kYes && !report.missing_keys.empty()) {
    found.problems.push_back(listing("missing: ", report.missing_keys));
  }
  if (strict == Strict::kYes && !report.unexpected_keys.empty()) {
    found.problems.push_back(listing("unexpected: ", report.unexpected_keys));
  }
  if (!found.problems.empty()) {
    throw Error(ErrorKind::kCheckpoint,
                "the weights do not fit the model: ", join(found.problems, "; "),
                "; use a checkpoint of the same model and config");
  }
  const at::NoGradGuard no_grad;
  for (auto& [into, from] : found.copies) into.copy_(from);
  return found.report;
}

void BaseModel::on_save_checkpoint(Value& /*extras*/) const {}
void BaseModel::on_load_checkpoint(const Value& /*extras*/) {}

std::vector<ParameterGroup> BaseModel::optimizer_parameters(
    const Config& /*optimizer_config*/) const {
  ParameterGroup group;
  for (const auto& [name, parameter] : distinct_parameters(*this)) {
    if (!parameter.requires_grad()) continue;
    group.names.push_back(name);
    group.parameters.push_back(parameter);
  }
  return {group};
}

std::vector<Value> BaseModel::format_for_prediction(std::vector<Value> results,
                                                    const Report& /*report*/) const {
  return results;
}

std::int64_t BaseModel::num_parameters() const {
  std::int64_t count = 0;
  for (const auto& [name, parameter] : distinct_parameters(*this)) count += parameter.numel();
  return count;
}

std::int64_t BaseModel::num_trained_parameters() const {
  std::int64_t count = 0;
  for (const auto& [name, parameter] : distinct_parameters(*this)) {
    if (parameter.requires_grad()) count += parameter.numel();
  }
  return count;
}

}  // namespace pergola
