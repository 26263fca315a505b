// SPDX-License-Identifier: BSD-3-Clause
// Draws the progress bar: how far, how fast, how long still, how well. Only on a terminal, at most
// ten times a second besides where something begins; nothing that it shows makes it wait for a GPU.
#pragma once

#include "host/callbacks/rate.h"
#include "host/train/metrics_sink.h"
#include "host/train/trainer.h"
#include "pergola/callback.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

// What one drawing of the bar shows.
struct ProgressPoint {
  std::string doing;  // "training"
  std::int64_t done = 0;
  std::optional<std::int64_t> all = 0;  // nothing: not known; then there is no bar
  std::string unit = "updates";
  std::vector<std::string> facts = {};  // what matters most comes first
};

// "training [####....] 50%  6/12 updates  300 samples/s  0:00:02 left": as many of the facts as
// leave the bar some room in so many columns; without any fact it gives way, too.
[[nodiscard]] std::string progress_line(const ProgressPoint& point, std::size_t columns);

// As a sink it learns the loss of the last log line. On the CPU, where reading a number waits for
// nothing, it shows the mean since then.
class ProgressCallback final : public Callback, public MetricsSink {
 public:
  // Borrows the trainer, which owns this callback.
  explicit ProgressCallback(Trainer& trainer) : trainer_(trainer) {}

  // How many batches an evaluation of this dataset_type, "val" or "test", has. Without it, only
  // those that are done are shown.
  void set_batches(const std::string& split, std::int64_t batches) { batches_[split] = batches; }

  void on_train_start(TrainerState& state) override;
  void on_update_end(TrainerState& state, const SampleList& batch,
                     const ModelOutput& output) override;
  void on_validation_start(TrainerState& state) override;
  void on_validation_batch_end(TrainerState& state, const SampleList& batch,
                               const ModelOutput& output) override;
  void on_validation_end(TrainerState& state, const Numbers& metrics) override;
  void on_train_end(TrainerState& state) override;
  void on_test_start(TrainerState& state) override;
  void on_test_batch_end(TrainerState& state, const SampleList& batch,
                         const ModelOutput& output) override;
  void on_test_end(TrainerState& state, const Numbers& metrics) override;
  void on_exception(TrainerState& state, const std::string& message) noexcept override;

  void write(const Progress& progress, const std::string& split, const Numbers& numbers) override;

 private:
  // An evaluation in hand.
  struct Evaluation {
    Rate rate;
    std::int64_t batches = 0;
    std::int64_t samples = 0;
  };

  [[nodiscard]] bool drawn_just_now() const;
  void draw(const ProgressPoint& point);
  void draw_training(const TrainerState& state);
  void start_evaluation(const char* doing);
  void add_batch(const char* doing, const SampleList& batch);
  [[nodiscard]] std::optional<double> loss() const;

  Trainer& trainer_;
  std::map<std::string, std::int64_t> batches_;
  Rate rate_;
  Evaluation evaluation_;
  std::optional<double> logged_loss_;
  std::chrono::steady_clock::time_point drawn_;
};

}  // namespace pergola::host
