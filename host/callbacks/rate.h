// SPDX-License-Identifier: BSD-3-Clause
// How fast a run is, and how long it will still take. Training thread. No LibTorch here.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace pergola::host {

class Rate {
 public:
  // Starts the clock at `update`.
  void start(std::int64_t update);

  // Samples a second since the start; 0 before the first.
  [[nodiscard]] double samples_per_second(std::int64_t samples_this_run) const;
  // Until `max_updates`, at the speed so far, or until `at_most` seconds are over, if that is
  // sooner; below 0 where that is not known: before the first update, without such a limit.
  [[nodiscard]] double seconds_left(std::int64_t update, std::int64_t max_updates,
                                    std::optional<double> at_most = {}) const;
  // The same as "0:01:12", or "?".
  [[nodiscard]] std::string time_left(std::int64_t update, std::int64_t max_updates,
                                      std::optional<double> at_most = {}) const;

 private:
  [[nodiscard]] double seconds() const;

  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::int64_t first_update_ = 0;
};

// "h:mm:ss"
[[nodiscard]] std::string format_duration(double seconds);

}  // namespace pergola::host
