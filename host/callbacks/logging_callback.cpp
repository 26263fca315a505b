// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/logging_callback.h"

#include "host/support/log.h"

#include <cmath>
#include <cstdio>

namespace pergola::host {

std::string format_numbers(const Numbers& numbers) {
  std::string text;
  for (const auto& [key, number] : numbers) {
    char digits[32];
    // Learning rates are small; the rest reads best with four decimals.
    const bool small = number != 0 && std::abs(number) < 1e-3;
    std::snprintf(digits, sizeof(digits), small ? "%.3e" : "%.4f", number);
    if (!text.empty()) text += ", ";
    text += key + " " + digits;
  }
  return text;
}

LoggingCallback::LoggingCallback(Trainer& trainer, std::filesystem::path metrics_file,
                                 std::unique_ptr<MetricList> metrics)
    : trainer_(trainer), metrics_file_(std::move(metrics_file)), metrics_(std::move(metrics)) {}

void LoggingCallback::on_train_start(TrainerState& state) {
  log_.emplace(metrics_file_, state.progress.update);
  rate_.start(state.progress.update);
}

void LoggingCallback::on_update_end(TrainerState& state, const SampleList& batch,
                                    const ModelOutput& output) {
  if (!trainer_.log_due()) return;
  Numbers numbers = trainer_.meter().take();
  if (metrics_ != nullptr) {
    metrics_->reset();
    metrics_->update(batch, output);
    numbers.merge(metrics_->compute(batch.dataset_type(), batch.dataset_name()));
  }
  numbers["lr"] = trainer_.lr();
  log_->write(state.progress, "train", numbers);
  std::erase_if(numbers, [](const auto& entry) { return entry.first.ends_with("/avg"); });
  log::info("[train] update ", state.progress.update, "/", state.max_updates, ": ",
            format_numbers(numbers), ", ",
            std::llround(rate_.samples_per_second(trainer_.samples_this_run())), " samples/s, ",
            rate_.time_left(state.progress.update, state.max_updates), " left");
}

void LoggingCallback::on_validation_end(TrainerState& state, const Numbers& metrics) {
  log_->write(state.progress, "val", metrics);
  log::info("[val] update ", state.progress.update, ": ", format_numbers(metrics));
}

void LoggingCallback::log_evaluation(const Progress& weights, const std::string& split,
                                     const std::string& checkpoint, const Numbers& metrics) {
  log_->write_final(weights, split, checkpoint, metrics);
}

}  // namespace pergola::host
