// SPDX-License-Identifier: BSD-3-Clause
// How long until, or between, something: the form in which a config says it. No state; thread-safe.
#pragma once

#include "pergola/config.h"

#include <cstdint>
#include <string_view>

namespace pergola::host {

struct Duration {
  enum class Unit { kUpdates, kEpochs, kSeconds };
  double amount = 0;
  Unit unit = Unit::kUpdates;

  // From a whole number of updates, or text: "500 updates", "0.5 epochs", "90 seconds", "2
  // minutes", "1.5 hours", "1:30:00" (hours, minutes, seconds), "1:00:00:00" (days first). Throws
  // Error{kConfig} for anything else, for what is below 0, and for more than 10^12 of it.
  // REQUIRES: `key` is there.
  [[nodiscard]] static Duration parse(const Config& config, std::string_view key);

  // How many updates it takes, one that it needs a part of included; at most about 9 * 10^18.
  // REQUIRES: it is in updates or epochs.
  [[nodiscard]] std::int64_t to_updates(std::int64_t updates_per_epoch) const;

  [[nodiscard]] bool operator==(const Duration&) const = default;
};

// Of an epoch with so many batches, `update_frequency` of which make an update, as do those that
// are left at its end; 1 at least.
[[nodiscard]] std::int64_t updates_in_epoch(std::int64_t num_batches,
                                            std::int64_t update_frequency);

}  // namespace pergola::host
