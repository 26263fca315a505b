// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/phase_times.h"

namespace pergola::host {

const char* phase_name(Phase phase) noexcept {
  static constexpr std::array<const char*, kNumPhases> kNames = {
      "data", "forward", "backward", "optimizer", "callbacks", "validation", "checkpoint", "other"};
  return kNames[static_cast<std::size_t>(phase)];
}

PhaseSeconds PhaseTimes::totals() const {
  PhaseSeconds seconds;
  for (std::size_t i = 0; i < kNumPhases; ++i) {
    const auto phase = static_cast<Phase>(i);
    Clock::duration spent = spent_[i];
    if (phase == current_) spent += Clock::now() - since_;
    seconds[phase] = std::chrono::duration<double>(spent).count();
  }
  return seconds;
}

PhaseSeconds PhaseTimes::take() {
  const PhaseSeconds now = totals();
  PhaseSeconds interval;
  for (std::size_t i = 0; i < kNumPhases; ++i) {
    const auto phase = static_cast<Phase>(i);
    interval[phase] = now[phase] - taken_[phase];
  }
  taken_ = now;
  return interval;
}

void PhaseTimes::restart() {
  spent_ = {};
  taken_ = {};
  since_ = Clock::now();
}

}  // namespace pergola::host
