// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/interval.h"

#include <cmath>

namespace pergola::host {

Interval::Interval(Duration duration, std::int64_t updates_per_epoch, Zero zero)
    : duration_(duration), updates_per_epoch_(updates_per_epoch), zero_(zero) {}

void Interval::restart() {
  seconds_before_ = 0;
  start();
}

bool Interval::due(const Progress& progress) const {
  if (duration_.amount == 0) return zero_ == Zero::kEndOfEpoch && progress.batch_in_epoch == 0;
  if (const std::optional<double> passed = seconds()) return *passed >= duration_.amount;
  // A part of an epoch need not be whole updates: due in the update that completes the n-th one.
  const auto completes = [&](double n) {
    const Duration all{n * duration_.amount, duration_.unit};
    return n > 0 && all.to_updates(updates_per_epoch_) == progress.update;
  };
  const bool by_epoch = duration_.unit == Duration::Unit::kEpochs;
  const double updates =
      duration_.amount * (by_epoch ? static_cast<double>(updates_per_epoch_) : 1);
  const double n = std::floor(static_cast<double>(progress.update) / updates);
  return completes(n) || completes(n + 1);
}

std::optional<double> Interval::seconds() const {
  if (duration_.unit != Duration::Unit::kSeconds) return std::nullopt;
  const std::chrono::duration<double> passed = Clock::now() - begin_;
  return seconds_before_ + passed.count();
}

}  // namespace pergola::host
