// SPDX-License-Identifier: BSD-3-Clause
// Which part of a split's batches a run uses: the form in which a config says it (Lightning's
// limit_*_batches). No state; thread-safe.
#pragma once

#include "pergola/config.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace pergola::host {

struct BatchLimit {
  // At most one of the two; neither: all batches.
  std::optional<std::int64_t> batches;
  std::optional<double> fraction;

  // From a whole number of batches, or a fraction 0.0 to 1.0: 1 is one batch, 1.0 all of them.
  // Throws Error{kConfig} for anything else.  REQUIRES: `key` is there.
  [[nodiscard]] static BatchLimit parse(const Config& config, std::string_view key);

  // How many of `num_batches` that is: rounded down, but at least 1 unless the limit, or
  // num_batches, is 0.
  [[nodiscard]] std::int64_t of(std::int64_t num_batches) const;
  // Whether it leaves nothing of any split.
  [[nodiscard]] bool is_zero() const { return batches == 0 || fraction == 0.0; }

  [[nodiscard]] bool operator==(const BatchLimit&) const = default;
};

}  // namespace pergola::host
