// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/spike_guard_callback.h"

#include "host/support/log.h"
#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <numeric>
#include <string>

namespace pergola::host {
namespace {

constexpr double kRounding = 1e-7;  // of float32: a deviation below it says nothing

Value to_value(const RollingWindow& window) {
  return Value::Array(window.values().begin(), window.values().end());
}

void load(const Value& state, const char* key, RollingWindow& window) {
  const Value* values = state.find(key);
  if (values == nullptr) return;
  window.clear();
  for (const Value& value : values->as_array()) window.add(value.as_float());
}

// "its loss 9.5 is 7.1 standard deviations above the mean of those before"; empty when it is not
// that far.
std::string describe_spike(const char* what, double value, const RollingWindow& window,
                           double limit) {
  const std::optional<double> score = window.zscore(value);
  if (!score || *score <= limit) return "";
  return concat(what, " ", value, " is ", *score,
                " standard deviations above the mean of the last ", window.values().size());
}

}  // namespace

std::optional<double> RollingWindow::zscore(double value) const {
  if (values_.size() < size_) return std::nullopt;
  const auto count = static_cast<double>(size_);
  const double mean = std::accumulate(values_.begin(), values_.end(), 0.0) / count;
  double squares = 0;
  for (const double each : values_) squares += (each - mean) * (each - mean);
  const double deviation = std::sqrt(squares / count);
  if (deviation <= kRounding * std::abs(mean)) return std::nullopt;
  return (value - mean) / deviation;
}

void RollingWindow::add(double value) {
  values_.push_back(value);
  if (values_.size() > size_) values_.pop_front();
}

SpikeGuardCallback::SpikeGuardCallback(const SpikeGuardConfig& config)
    : config_(config),
      losses_(static_cast<std::size_t>(config.window)),
      norms_(static_cast<std::size_t>(config.window)) {}

void SpikeGuardCallback::on_update_start(TrainerState& /*state*/) {
  loss_sum_.reset();
  batches_ = 0;
}

void SpikeGuardCallback::on_batch_end(TrainerState& /*state*/, const SampleList& /*batch*/,
                                      const ModelOutput& output) {
  if (!output.losses || output.losses->empty()) return;
  const at::NoGradGuard no_grad;
  const at::Tensor loss = total_loss(*output.losses).to(at::kDouble);
  loss_sum_ = loss_sum_.defined() ? loss_sum_ + loss : loss;
  ++batches_;
}

// The loss, and the norm where there is one, in one copy from the device.
std::vector<double> SpikeGuardCallback::read(const TrainerState& state) const {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> numbers = {loss_sum_ / batches_};
  if (state.grad_norm.defined()) {
    numbers.push_back(state.grad_norm.to(loss_sum_.device(), at::kDouble));
  }
  const at::Tensor copied = at::stack(numbers).cpu();
  const double* begin = copied.const_data_ptr<double>();
  return {begin, begin + numbers.size()};
}

void SpikeGuardCallback::warn(std::int64_t update, bool skip, const std::string& spike) const {
  const char* what = ": ";
  if (skip) {
    what = " is skipped: ";
  } else if (config_.action == GuardAction::kSkip) {
    what = " is accepted, after as many skipped ones as training.spike_guard.limit allows: ";
  }
  log::warning("[spike] update ", update, what, spike);
}

void SpikeGuardCallback::on_step_start(TrainerState& state) {
  if (state.skip_step || batches_ == 0) return;
  const std::vector<double> numbers = read(state);
  for (const double number : numbers) {
    if (!std::isfinite(number)) return;
  }
  std::string spike = describe_spike("its loss", numbers[0], losses_, config_.zscore);
  if (spike.empty() && numbers.size() > 1) {
    spike = describe_spike("the norm of its gradients", numbers[1], norms_, config_.zscore);
  }
  const bool skip =
      !spike.empty() && config_.action == GuardAction::kSkip && skipped_in_row_ < config_.limit;
  if (!spike.empty()) warn(state.progress.update + 1, skip, spike);
  if (skip) {
    state.skip_step = true;
    ++skipped_;
    ++skipped_in_row_;
    return;
  }
  skipped_in_row_ = 0;
  losses_.add(numbers[0]);
  if (numbers.size() > 1) norms_.add(numbers[1]);
}

Value SpikeGuardCallback::state_dict() const {
  return Value::Table{{"losses", to_value(losses_)},
                      {"norms", to_value(norms_)},
                      {"skipped", skipped_},
                      {"skipped_in_row", skipped_in_row_}};
}

void SpikeGuardCallback::load_state_dict(const Value& state) {
  load(state, "losses", losses_);
  load(state, "norms", norms_);
  const Value* skipped = state.find("skipped");
  const Value* in_row = state.find("skipped_in_row");
  if (skipped != nullptr) skipped_ = skipped->as_integer();
  if (in_row != nullptr) skipped_in_row_ = in_row->as_integer();
}

}  // namespace pergola::host
