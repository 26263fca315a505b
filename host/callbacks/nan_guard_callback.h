// SPDX-License-Identifier: BSD-3-Clause
// Looks for losses and gradients that are not finite numbers: training.exit_on_nan_losses and
// training.nan_guard. It stops the run, or has the trainer skip the update, and saves the batch.
//
// Where it looks: at every batch on the CPU, and on a GPU when updates are to be skipped, which
// waits for the device once a batch. A run on a GPU that is to stop is not slowed down: there it
// looks at the batches of those updates that get a log line, and the trainer at the sums of the
// losses since the last one. Training thread.
#pragma once

#include "host/config/run_config.h"
#include "pergola/callback.h"

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace pergola::host {

struct NanGuardOptions {
  NanGuardConfig config;
  c10::Device device = c10::Device(c10::kCPU);
  std::int64_t log_interval = 1;  // updates
  // False where the loss scaler of fp16 skips updates whose gradients overflow.
  bool checks_gradients = true;
  // What training.detect_anomaly has found in the update in hand, for messages; empty: nothing.
  std::function<std::string()> anomaly = [] { return ""; };
};

class NanGuardCallback final : public Callback {
 public:
  explicit NanGuardCallback(const NanGuardOptions& options);

  void on_update_start(TrainerState& state) override;
  // For a loss that is not finite, or an anomaly: throws Error{kNan} that names it, or asks to skip
  // the update, with one warning for it. The batch goes to <run>/nan_batches/update_<8 digits>, the
  // first few of a run.
  void on_batch_end(TrainerState& state, const SampleList& batch,
                    const ModelOutput& output) override;
  // The same for `state.grad_norm`, where there is one; which batch made it is not known.
  void on_step_start(TrainerState& state) override;
  void on_update_end(TrainerState& state, const SampleList& batch,
                     const ModelOutput& output) override;

  // {"skipped", "skipped_in_row"}
  [[nodiscard]] Value state_dict() const override;
  void load_state_dict(const Value& state) override;

  // Batches that are saved in one run's folder at most.
  static constexpr std::size_t kMostBatches = 3;

 private:
  [[nodiscard]] bool looks(const TrainerState& state) const;
  void found(TrainerState& state, const std::vector<std::string>& bad);
  void save(const TrainerState& state, const SampleList& batch, const ModelOutput& output,
            const std::vector<std::string>& bad) const;

  NanGuardOptions options_;
  std::int64_t skipped_ = 0;         // updates of the run
  std::int64_t skipped_in_row_ = 0;  // updates up to the last one
  bool skipping_ = false;            // the update in hand
};

}  // namespace pergola::host
