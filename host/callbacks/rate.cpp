// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/rate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace pergola::host {

void Rate::start(std::int64_t update) {
  begin_ = std::chrono::steady_clock::now();
  first_update_ = update;
}

double Rate::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
}

double Rate::samples_per_second(std::int64_t samples_this_run) const {
  return samples_this_run == 0 ? 0.0 : static_cast<double>(samples_this_run) / seconds();
}

double Rate::seconds_left(std::int64_t update, std::int64_t max_updates,
                          std::optional<double> at_most) const {
  const auto done = static_cast<double>(update - first_update_);
  if (done <= 0) return at_most.value_or(-1);
  const auto left = static_cast<double>(std::max<std::int64_t>(max_updates - update, 0));
  const double seconds_left = seconds() / done * left;
  return std::min(seconds_left, at_most.value_or(seconds_left));
}

std::string Rate::time_left(std::int64_t update, std::int64_t max_updates,
                            std::optional<double> at_most) const {
  const double left = seconds_left(update, max_updates, at_most);
  return left < 0 ? "?" : format_duration(left);
}

std::string format_duration(double seconds) {
  const auto whole = static_cast<long long>(std::llround(std::clamp(seconds, 0.0, 1e9)));
  char text[48];
  std::snprintf(text, sizeof(text), "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60,
                whole % 60);
  return text;
}

}  // namespace pergola::host
