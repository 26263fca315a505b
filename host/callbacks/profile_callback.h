// SPDX-License-Identifier: BSD-3-Clause
// Looks at a few updates of a training, as training.profile says: each update is a range, and in it
// each phase (train/phase_times.h), in which the operators are. Borrows the trainer; has no state.
#pragma once

#include "host/config/run_config.h"
#include "host/device/profiler.h"
#include "host/train/phase_times.h"
#include "host/train/trainer.h"
#include "pergola/callback.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace pergola::host {

class ProfileCallback final : public Callback, private PhaseObserver {
 public:
  // `trace`: the file to write or replace. Throws Error{kConfig} where that cannot be, or ranges
  // are wanted and there is no GPU: before the first update.
  ProfileCallback(Trainer& trainer, const ProfileConfig& config, std::filesystem::path trace);
  ~ProfileCallback() override;

  void on_train_start(TrainerState& state) override;
  void on_update_start(TrainerState& state) override;
  void on_update_complete(TrainerState& state) override;
  // Writes what there is; warns where that is nothing.
  void on_train_end(TrainerState& state) override;
  void on_exception(TrainerState& state, const std::string& message) noexcept override;

 private:
  void on_phase(Phase next) noexcept override;
  void begin(std::int64_t update);
  void end();
  void finish(std::int64_t updates);

  Trainer& trainer_;
  const ProfileConfig config_;
  const std::filesystem::path trace_;
  std::int64_t first_ = 0;  // updates before the first one
  bool done_ = false;
  std::optional<Profiler> profiler_;    // while it looks
  std::optional<ProfileRange> update_;  // the update in hand
  std::optional<ProfileRange> phase_;   // inside of that one
};

}  // namespace pergola::host
