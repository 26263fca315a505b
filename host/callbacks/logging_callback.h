// SPDX-License-Identifier: BSD-3-Clause
// Writes metrics.jsonl and the log's lines of training and validation, and hands the same numbers
// to whoever else wants them.
#pragma once

#include "host/callbacks/throughput.h"
#include "host/train/evaluation.h"
#include "host/train/metrics_log.h"
#include "host/train/metrics_sink.h"
#include "host/train/trainer.h"
#include "pergola/callback.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

namespace pergola::host {

class LoggingCallback final : public Callback {
 public:
  // `metrics_file` is opened when training starts. `metrics` (null: none) are computed for training
  // batches where a line is due. Borrows the trainer, which owns this callback.
  LoggingCallback(Trainer& trainer, std::filesystem::path metrics_file,
                  std::unique_ptr<MetricList> metrics, const FlopOptions& flops = {});

  // Borrowed; gets every line from now on, after it was written.
  void add_sink(MetricsSink& sink) { sinks_.push_back(&sink); }

  void on_train_start(TrainerState& state) override;
  void on_update_start(TrainerState& state) override;
  void on_step_start(TrainerState& state) override;
  void on_update_end(TrainerState& state, const SampleList& batch,
                     const ModelOutput& output) override;
  void on_validation_end(TrainerState& state, const Numbers& metrics) override;

  // Writes the line of a split that is evaluated after training, with the weights of `checkpoint`,
  // which are from the point `weights`.  REQUIRES: training has started.
  void log_evaluation(const Progress& weights, const std::string& split,
                      const std::string& checkpoint, const Numbers& metrics);

  // Brings metrics.jsonl to the disk, as is due before a checkpoint is there. Nothing happens
  // before training. Any thread.
  void sync() const;

 private:
  void hand_out(const Progress& progress, const std::string& split, const Numbers& numbers);

  Trainer& trainer_;
  std::filesystem::path metrics_file_;
  std::optional<MetricsLog> log_;
  std::unique_ptr<MetricList> metrics_;
  Throughput throughput_;
  std::vector<MetricsSink*> sinks_;
};

// "val/easy_vqa/accuracy 0.9312, val/total_loss 0.2011"; `lr` with five digits that count.
[[nodiscard]] std::string format_numbers(const Numbers& numbers);

}  // namespace pergola::host
