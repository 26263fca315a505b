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

#include <cstdint>
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

  // A run that is resumed in its own folder should find there the lines that the checkpoint knows
  // of: when training starts, a warning says when it does not.
  void expect_earlier_lines() noexcept { expects_earlier_lines_ = true; }

  void on_train_start(TrainerState& state) override;
  void on_update_start(TrainerState& state) override;
  void on_step_start(TrainerState& state) override;
  void on_update_end(TrainerState& state, const SampleList& batch,
                     const ModelOutput& output) override;
  void on_validation_end(TrainerState& state, const Numbers& metrics) override;
  void on_train_end(TrainerState& state) override;

  [[nodiscard]] Value state_dict() const override;
  void load_state_dict(const Value& state) override;

  // Writes the line of a split that is evaluated after training, with the weights of `checkpoint`,
  // which are from the point `weights`.  REQUIRES: training has started.
  void log_evaluation(const Progress& weights, const std::string& split,
                      const std::string& checkpoint, const Numbers& metrics);

  // Brings metrics.jsonl to the disk, as is due before a checkpoint is there. Nothing happens
  // before training. Any thread.
  void sync() const;

 private:
  void warn_of_lost_lines() const;
  void hand_out(const Progress& progress, const std::string& split, const Numbers& numbers);

  Trainer& trainer_;
  std::filesystem::path metrics_file_;
  std::optional<MetricsLog> log_;
  std::unique_ptr<MetricList> metrics_;
  Throughput throughput_;
  std::vector<MetricsSink*> sinks_;
  std::int64_t earlier_lines_ = 0;  // that the checkpoint knows of
  bool expects_earlier_lines_ = false;
};

// "val/easy_vqa/accuracy 0.9312, val/total_loss 0.2011", or "no loss and no metric"; `lr` with five
// digits that count.
[[nodiscard]] std::string format_numbers(const Numbers& numbers);

}  // namespace pergola::host
