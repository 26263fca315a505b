// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/base_model.h"

#include "pergola/columns.h"
#include "pergola/error.h"
#include "pergola/log.h"
#include "pergola/registry.h"
#include "pergola/suggest.h"

#include <map>
#include <set>
#include <utility>

namespace pergola {
namespace {

// A row a weight that differs: its name, its shape in the state and in the model.
using Differences = std::vector<std::vector<std::string>>;

// What of a state fits a model, by the model's key, and what does not.
struct Match {
  StateDict tensors;  // in the model's order
  LoadReport report;
  Differences shapes;  // that differ
};

Match match(const StateDict& own, std::map<std::string, at::Tensor> rest) {
  Match result;
  for (const auto& [key, into] : own) {
    const auto found = rest.find(key);
    if (found == rest.end()) {
      result.report.missing_keys.push_back(key);
      continue;
    }
    if (found->second.sizes() == into.sizes()) {
      result.tensors.emplace_back(key, std::move(found->second));
    } else {
      result.shapes.push_back({key, concat(found->second.sizes()), concat(into.sizes())});
    }
    rest.erase(found);
  }
  for (const auto& [key, tensor] : rest) result.report.unexpected_keys.push_back(key);
  return result;
}

// The state under the names that the model has now. Throws Error{kCheckpoint} for two of one name.
std::map<std::string, at::Tensor> renamed(StateDict state, const BaseModel& model) {
  std::map<std::string, at::Tensor> result;
  std::vector<std::string> clashes;
  for (auto& [key, tensor] : state) {
    const std::string name = model.format_state_key(key);
    if (!result.emplace(name, std::move(tensor)).second) {
      clashes.push_back(concat(key, " is a second '", name, "'"));
    }
  }
  if (clashes.empty()) return result;
  throw Error(ErrorKind::kCheckpoint, "the weights do not fit the model: ", join(clashes),
              "; use a checkpoint of the same model and config");
}

// The parameters and buffers themselves; those of state_dict() share their memory.
std::map<std::string, at::Tensor> tensors_of(const torch::nn::Module& module) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& item : module.named_parameters()) tensors.emplace(item.key(), item.value());
  for (const auto& item : module.named_buffers()) tensors.emplace(item.key(), item.value());
  return tensors;
}

// Whether the memory of `from` may become that of `into`: both fill theirs alone and alike, and
// nobody else has `from`, whose values would change with the model's. Memory that is not LibTorch's
// (at::from_blob) cannot be resized.
bool may_replace(const at::Tensor& into, const at::Tensor& from) {
  const auto fills_alone = [](const at::Tensor& tensor) {
    return tensor.has_storage() && tensor.storage().use_count() == 1 &&
           tensor.storage().resizable() && tensor.is_contiguous() &&
           tensor.storage().nbytes() == tensor.nbytes();
  };
  return from.use_count() == 1 && fills_alone(from) && fills_alone(into) &&
         from.scalar_type() == into.scalar_type() && from.device() == into.device();
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

void BaseModel::on_before_batch_transfer(SampleList& /*batch*/) const {}

bool BaseModel::makes_losses() const { return false; }

bool BaseModel::enable_recompute() { return false; }

ModelOutput BaseModel::operator()(const SampleList& batch) {
  ModelOutput output = forward(batch);
  if (!output.scores.defined() && !output.losses.has_value() && output.fields.empty()) {
    throw Error(ErrorKind::kPlugin,
                "the model's forward() returned neither scores nor losses nor fields; return "
                "ModelOutput with scores of shape [batch, classes], with its own losses, or with "
                "the fields that the losses of the config read");
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

bool BaseModel::migrate_state(const std::string& /*from_version*/, StateDict& /*weights*/,
                              Value& /*extras*/) const {
  return false;
}

LoadReport BaseModel::load_state_dict(StateDict state, Strict strict) {
  Match found = match(pergola::state_dict(*this), renamed(std::move(state), *this));
  std::map<std::string, at::Tensor> own = tensors_of(*this);
  Differences& rows = found.shapes;
  if (strict == Strict::kYes) {
    for (const std::string& key : found.report.missing_keys) {
      rows.push_back({key, "missing", concat(own.at(key).sizes())});
    }
    for (const std::string& key : found.report.unexpected_keys) {
      rows.push_back({key, "unexpected", "-"});
    }
  }
  if (!rows.empty()) {
    const std::size_t count = rows.size();
    rows.insert(rows.begin(), {"weight", "checkpoint", "model"});
    throw Error(ErrorKind::kCheckpoint, "the weights do not fit the model in ", count,
                count == 1 ? " place" : " places",
                "; use a checkpoint of the same model and config", columns(rows));
  }
  const at::NoGradGuard no_grad;
  for (const auto& [key, from] : found.tensors) {
    at::Tensor& into = own.at(key);
    if (may_replace(into, from)) {
      into.set_data(from);
    } else {
      into.copy_(from);
    }
  }
  return found.report;
}

LoadReport BaseModel::from_pretrained(const std::string& path) {
  StateDict state = read_weights(path);
  const std::size_t count = state.size();
  const LoadReport report = load_state_dict(std::move(state), Strict::kNo);
  if (count > 0 && report.unexpected_keys.size() == count) {
    throw Error(ErrorKind::kCheckpoint, "none of the ", count, " weights in ", path,
                " is the model's: the first is ", report.unexpected_keys.front(),
                "; use weights of this model, or override format_state_key()");
  }
  on_pretrained_loaded(report);
  return report;
}
void BaseModel::on_pretrained_loaded(const LoadReport& /*report*/) {}

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
