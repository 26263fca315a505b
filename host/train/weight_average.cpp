// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/weight_average.h"

#include "host/support/log.h"
#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/Storage.h>

#include <algorithm>
#include <utility>

namespace pergola::host {
namespace {

constexpr std::string_view kWeightPrefix = "weights/";

// Whether a tensor is all that is in its memory.
bool fills_storage(const at::Tensor& tensor) {
  return tensor.storage_offset() == 0 && tensor.is_non_overlapping_and_dense() &&
         tensor.storage().nbytes() == tensor.nbytes();
}

bool can_swap(const at::Tensor& one, const at::Tensor& other) {
  return fills_storage(one) && fills_storage(other) && one.scalar_type() == other.scalar_type() &&
         one.device() == other.device() && one.strides() == other.strides();
}

// Exchanges the memory itself, so that every tensor that shares it sees that.
void swap_memory(const at::Tensor& one, const at::Tensor& other) {
  c10::StorageImpl& first = *one.storage().unsafeGetStorageImpl();
  c10::StorageImpl& second = *other.storage().unsafeGetStorageImpl();
  at::DataPtr memory = first.set_data_ptr(at::DataPtr());
  memory = second.set_data_ptr(std::move(memory));
  first.set_data_ptr_noswap(std::move(memory));
}

}  // namespace

WeightAverage::WeightAverage(BaseModel& model, const EmaConfig& config)
    : model_(model), config_(config) {
  std::map<const void*, std::size_t> known;  // a parameter that is registered twice is one
  for (const auto& item : model.named_parameters()) {
    const at::Tensor& parameter = item.value();
    if (!parameter.requires_grad()) continue;
    const auto [place, first] = known.emplace(parameter.unsafeGetTensorImpl(), parameters_.size());
    if (first) parameters_.push_back(parameter);
    places_.emplace(item.key(), place->second);
  }
  if (config_.start_update == 0) begin();
  const std::string interval =
      config_.interval == 1 ? "update" : concat(config_.interval, " updates");
  log::info("[ema] evaluations use averaged weights: decay ", config_.decay, ", every ", interval,
            " from update ", config_.start_update, " on");
}

void WeightAverage::begin() {
  averages_.clear();
  for (const at::Tensor& parameter : parameters_) averages_.push_back(parameter.detach().clone());
}

void WeightAverage::update(std::int64_t update) {
  PERGOLA_ASSERT(!in_use_);
  if (update < config_.start_update) return;
  if (averages_.empty()) {
    begin();
    return;
  }
  if ((update - config_.start_update) % config_.interval != 0) return;
  const at::NoGradGuard no_grad;
  at::_foreach_lerp_(averages_, parameters_, 1 - config_.decay);
}

WeightAverage::Use::Use(WeightAverage& average) : average_(average) {
  PERGOLA_ASSERT(!average_.in_use_);
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor>& parameters = average_.parameters_;
  const std::vector<at::Tensor>& averages = average_.averages_;
  for (std::size_t i = 0; i < averages.size(); ++i) {
    if (can_swap(parameters[i], averages[i])) continue;
    kept_.emplace(i, parameters[i].detach().clone());
  }
  for (std::size_t i = 0; i < averages.size(); ++i) {
    if (kept_.contains(i)) {
      parameters[i].copy_(averages[i]);
    } else {
      swap_memory(parameters[i], averages[i]);
    }
  }
  average_.in_use_ = true;
}

// Backwards: two parameters may have one memory.
WeightAverage::Use::~Use() {
  const at::NoGradGuard no_grad;
  for (std::size_t i = average_.averages_.size(); i-- > 0;) {
    if (const auto kept = kept_.find(i); kept != kept_.end()) {
      average_.parameters_[i].copy_(kept->second);
    } else {
      swap_memory(average_.parameters_[i], average_.averages_[i]);
    }
  }
  average_.in_use_ = false;
}

void WeightAverage::exchange(StateDict& model, StateDict& trainer) const {
  PERGOLA_ASSERT(!in_use_);
  if (averages_.empty()) return;
  for (auto& [name, tensor] : model) {
    const auto place = places_.find(name);
    if (place == places_.end()) continue;
    trainer.emplace_back(std::string(kWeightPrefix) + name, tensor);
    tensor = averages_[place->second];
  }
}

void WeightAverage::restore(const StateDict& average, std::int64_t update) {
  PERGOLA_ASSERT(!in_use_);
  averages_.clear();
  if (average.empty() || update < config_.start_update) {
    // Otherwise the next update begins it, as in a run in which these were skipped.
    if (config_.start_update == 0) begin();
    if (average.empty() && update > config_.start_update) {
      log::info(
          "[ema] the checkpoint has no averaged weights: the average begins with the weights");
    }
    return;
  }
  begin();
  for (const auto& [key, tensor] : average) {
    const auto place = places_.find(model_.format_state_key(key));
    if (place == places_.end()) continue;  // of a parameter that this run does not train
    at::Tensor& into = averages_[place->second];
    if (into.sizes() != tensor.sizes()) {
      throw Error(ErrorKind::kCheckpoint, "the averaged weight ", key, " is ", tensor.sizes(),
                  ", expected ", into.sizes(), "; the checkpoint is of another model or config");
    }
    into.copy_(tensor);
  }
}

StateDict take_average(StateDict& model, StateDict& trainer) {
  std::map<std::string, std::size_t> places;
  for (std::size_t i = 0; i < model.size(); ++i) places.emplace(model[i].first, i);
  StateDict average;
  for (const auto& [key, tensor] : trainer) {
    if (!key.starts_with(kWeightPrefix)) continue;
    const std::string name = key.substr(kWeightPrefix.size());
    const auto place = places.find(name);
    if (place == places.end()) {
      throw Error(ErrorKind::kCheckpoint, "trainer.safetensors of the checkpoint has ", key,
                  ", and model.safetensors no ", name,
                  "; the two are not of one checkpoint, so use another one");
    }
    average.emplace_back(name, std::exchange(model[place->second].second, tensor));
  }
  std::erase_if(trainer, [](const auto& entry) { return entry.first.starts_with(kWeightPrefix); });
  return average;
}

void put_own_weights(const StateDict& own, StateDict& trainer) {
  for (const auto& [name, tensor] : own) {
    trainer.emplace_back(std::string(kWeightPrefix) + name, tensor);
  }
}

}  // namespace pergola::host
