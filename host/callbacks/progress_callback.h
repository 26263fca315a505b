// SPDX-License-Identifier: BSD-3-Clause
// Draws the progress bar: how far, how fast, how long still. Only on a terminal.
#pragma once

#include "host/callbacks/rate.h"
#include "host/train/trainer.h"
#include "pergola/callback.h"

#include <chrono>

namespace pergola::host {

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
