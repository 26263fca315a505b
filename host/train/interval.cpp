// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/interval.h"

#include <cmath>

namespace pergola::host {

Interval::Interval(Duration duration, std::int64_t updates_per_epoch, Zero zero)
    : duration_(duration), zero_(zero), updates_(duration.amount) {
  if (duration.unit == Duration::Unit::kEpochs) updates_ *= static_cast<double>(updates_per_epoch);
}

bool Interval::due(const Progress& progress) const {
  if (duration_.amount == 0) return zero_ == Zero::kEndOfEpoch && progress.batch_in_epoch == 0;
  if (duration_.unit == Duration::Unit::kSeconds) {
    const std::chrono::duration<double> passed = Clock::now() - begin_;
    return passed.count() >= duration_.amount;
  }
  // A part of an epoch need not be whole updates: due in the update that completes one.
  const auto now = static_cast<double>(progress.update);
  return std::floor(now / updates_) > std::floor((now - 1) / updates_);
}

}  // namespace pergola::host
