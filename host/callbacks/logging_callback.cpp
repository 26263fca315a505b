// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/logging_callback.h"

#include "host/support/log.h"

#include <ATen/core/Tensor.h>

#include <cmath>
#include <cstdio>
#include <utility>

namespace pergola::host {
namespace {

// Rates are small, and differ in digits far behind the point; the rest reads best with four.
const char* format_of(const std::string& key, double number) {
  if (key == "lr") return "%.5g";
  return number != 0 && std::abs(number) < 1e-3 ? "%.3e" : "%.4f";
}

}  // namespace

std::string format_numbers(const Numbers& numbers) {
  if (numbers.empty()) return "no loss and no metric";
  std::string text;
  for (const auto& [key, number] : numbers) {
    char digits[32];
    std::snprintf(digits, sizeof(digits), format_of(key, number), number);
    if (!text.empty()) text += ", ";
    text += key + " " + digits;
  }
  return text;
}

LoggingCallback::LoggingCallback(Trainer& trainer, std::filesystem::path metrics_file,
                                 std::unique_ptr<MetricList> metrics, const FlopOptions& flops)
    : trainer_(trainer),
      metrics_file_(std::move(metrics_file)),
      metrics_(std::move(metrics)),
      throughput_(trainer.times(), trainer.device(), flops) {}

void LoggingCallback::on_train_start(TrainerState& state) {
  using LastValidation = MetricsLog::LastValidation;
  log_.emplace(metrics_file_, state.progress.update,
               trainer_.validation_pending() ? LastValidation::kPending : LastValidation::kDone);
  if (expects_earlier_lines_) warn_of_lost_lines();
  throughput_.start(state.progress.update);
}

void LoggingCallback::warn_of_lost_lines() const {
  if (log_->num_lines() >= earlier_lines_) return;
  log::warning("[resume] ", metrics_file_.string(), " has ", log_->num_lines(), " of the ",
               earlier_lines_, " lines that were written up to this checkpoint; the others are ",
               "lost");
}

Value LoggingCallback::state_dict() const {
  return Value::Table{{"lines", log_ ? log_->num_lines() : earlier_lines_}};
}

void LoggingCallback::load_state_dict(const Value& state) {
  const Value* const lines = state.find("lines");
  if (lines != nullptr) earlier_lines_ = lines->as_integer();
}

void LoggingCallback::on_update_start(TrainerState& /*state*/) {
  throughput_.begin_update(trainer_.samples_this_run());
}

void LoggingCallback::on_step_start(TrainerState& /*state*/) {
  throughput_.end_passes(trainer_.samples_this_run());
}

void LoggingCallback::on_update_end(TrainerState& state, const SampleList& batch,
                                    const ModelOutput& output) {
  throughput_.end_passes(trainer_.samples_this_run());
  if (!trainer_.log_due()) return;
  Numbers numbers = trainer_.meter().take();
  if (metrics_ != nullptr) {
    metrics_->reset();
    metrics_->update(batch, output);
    numbers.merge(metrics_->compute(batch.dataset_type(), batch.dataset_name()));
  }
  numbers["lr"] = trainer_.lr();
  if (state.grad_norm.defined()) numbers["grad_norm"] = state.grad_norm.item<double>();
  if (trainer_.scaler() != nullptr) numbers["loss_scale"] = trainer_.scaler()->current_scale();
  const SystemFacts system =
      throughput_.take(state.progress.update, state.max_updates, trainer_.samples_this_run(),
                       trainer_.max_time_left());
  const Numbers system_numbers = system.numbers();
  log_->write(state.progress, "train", numbers, system_numbers);
  Numbers all = numbers;
  for (const auto& [key, number] : system_numbers) all["system/" + key] = number;
  hand_out(state.progress, "train", all);
  std::erase_if(numbers, [](const auto& entry) { return entry.first.ends_with("/avg"); });
  log::info("[train] update ", state.progress.update, "/", state.max_updates, ": ",
            format_numbers(numbers), ", ", system.text());
}

void LoggingCallback::on_validation_end(TrainerState& state, const Numbers& metrics) {
  log_->write(state.progress, "val", metrics);
  hand_out(state.progress, "val", metrics);
  log::info("[val] update ", state.progress.update, ": ", format_numbers(metrics));
}

void LoggingCallback::on_train_end(TrainerState& /*state*/) {
  const std::optional<DeviceMemory> memory = device_memory(trainer_.device());
  if (!memory) return;
  log::info("[memory] ", trainer_.device().str(), ": ", describe(*memory));
}

void LoggingCallback::log_evaluation(const Progress& weights, const std::string& split,
                                     const std::string& checkpoint, const Numbers& metrics) {
  log_->write_final(weights, split, checkpoint, metrics);
  hand_out(weights, split, metrics);
}

void LoggingCallback::sync() const {
  if (log_) log_->sync();
}

void LoggingCallback::hand_out(const Progress& progress, const std::string& split,
                               const Numbers& numbers) {
  for (MetricsSink* sink : sinks_) sink->write(progress, split, numbers);
}

}  // namespace pergola::host
