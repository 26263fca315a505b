// SPDX-License-Identifier: BSD-3-Clause
// Writes metrics.jsonl and the log's lines of training and validation.
#pragma once

#include "host/callbacks/rate.h"
#include "host/train/evaluation.h"
#include "host/train/metrics_log.h"
#include "host/train/trainer.h"
#include "pergola/callback.h"

#include <filesystem>
#include <memory>
#include <optional>

namespace pergola::host {

class LoggingCallback final : public Callback {
 public:
  // `metrics_file` is opened when training starts. `metrics` (null: none) are computed for training
  // batches where a line is due. Borrows the trainer, which owns this callback.
  LoggingCallback(Trainer& trainer, std::filesystem::path metrics_file,
                  std::unique_ptr<MetricList> metrics);

  void on_train_start(TrainerState& state) override;
  void on_update_end(TrainerState& state, const SampleList& batch,
                     const ModelOutput& output) override;
  void on_validation_end(TrainerState& state, const Numbers& metrics) override;

  // Writes the line of a split that is evaluated after training, with the weights of `checkpoint`,
  // which are from the point `weights`.  REQUIRES: training has started.
  void log_evaluation(const Progress& weights, const std::string& split,
                      const std::string& checkpoint, const Numbers& metrics);

 private:
  Trainer& trainer_;
  std::filesystem::path metrics_file_;
  std::optional<MetricsLog> log_;
  std::unique_ptr<MetricList> metrics_;
  Rate rate_;
};

// "val/easy_vqa/accuracy 0.9312, val/total_loss 0.2011"
[[nodiscard]] std::string format_numbers(const Numbers& numbers);

}  // namespace pergola::host
