// SPDX-License-Identifier: BSD-3-Clause
// Looks for updates whose loss or gradient is far above those before (training.spike_guard), and
// has the trainer skip them, or warns. It reads the loss of each update, and so waits for the
// device once an update. Training thread.
#pragma once

#include "host/config/run_config.h"
#include "pergola/callback.h"

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

// The last `size` values of a quantity, and how far from them a further one is.
class RollingWindow {
 public:
  explicit RollingWindow(std::size_t size) : size_(size) {}

  // Standard deviations that `value` is above the mean; nothing until the window is full, or where
  // its values differ by no more than float32 rounds. Depends on the values and their order alone.
  [[nodiscard]] std::optional<double> zscore(double value) const;
  // In place of the oldest value once it is full.
  void add(double value);
  void clear() { values_.clear(); }

  [[nodiscard]] const std::deque<double>& values() const noexcept { return values_; }

 private:
  std::size_t size_;
  std::deque<double> values_;  // oldest first
};

class SpikeGuardCallback final : public Callback {
 public:
  explicit SpikeGuardCallback(const SpikeGuardConfig& config);

  void on_update_start(TrainerState& state) override;
  void on_batch_end(TrainerState& state, const SampleList& batch,
                    const ModelOutput& output) override;
  // Judges the mean of the update's total losses, and `state.grad_norm` where there is one; both
  // join their windows unless the update is skipped. After `limit` skipped updates in a row the
  // next one is accepted, whatever it is. Numbers that are not finite are the NaN guard's matter:
  // they are neither judged nor kept.
  void on_step_start(TrainerState& state) override;

  // The windows, bit for bit, and how many updates were skipped.
  [[nodiscard]] Value state_dict() const override;
  void load_state_dict(const Value& state) override;

 private:
  [[nodiscard]] std::vector<double> read(const TrainerState& state) const;
  void warn(std::int64_t update, bool skip, const std::string& spike) const;

  SpikeGuardConfig config_;
  RollingWindow losses_;
  RollingWindow norms_;
  at::Tensor loss_sum_;       // 0-d, on the device: of the update in hand
  std::int64_t batches_ = 0;  // of the update in hand
  std::int64_t skipped_ = 0;
  std::int64_t skipped_in_row_ = 0;
};

}  // namespace pergola::host
