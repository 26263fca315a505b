// SPDX-License-Identifier: BSD-3-Clause
// Draws the progress bar: how far, how fast, how long still. Only on a terminal.
#pragma once

#include "host/callbacks/rate.h"
#include "host/train/trainer.h"
#include "pergola/callback.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace pergola::host {

// What one drawing of the bar shows.
struct ProgressPoint {
  std::string doing;  // "training"
  std::int64_t update = 0;
  std::int64_t max_updates = 0;
  std::int64_t samples_per_second = 0;
  std::string time_left;
};

// "training [####....] 50%  6/12 updates  300 samples/s  0:00:02 left". The bar itself gives way
// when all that has no room in so many columns.
[[nodiscard]] std::string progress_line(const ProgressPoint& point, std::size_t columns);

class ProgressCallback final : public Callback {
 public:
  // Borrows the trainer, which owns this callback.
  explicit ProgressCallback(const Trainer& trainer) : trainer_(trainer) {}

  void on_train_start(TrainerState& state) override;
  void on_update_end(TrainerState& state, const SampleList& batch,
                     const ModelOutput& output) override;
  void on_validation_start(TrainerState& state) override;
  void on_validation_end(TrainerState& state, const Numbers& metrics) override;
  void on_train_end(TrainerState& state) override;
  void on_exception(TrainerState& state, const std::string& message) noexcept override;

 private:
  void draw(const TrainerState& state, const char* doing);

  const Trainer& trainer_;
  Rate rate_;
  std::chrono::steady_clock::time_point drawn_;
};

}  // namespace pergola::host
