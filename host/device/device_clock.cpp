// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/device_clock.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <utility>

namespace pergola::host {

void DeviceClock::mark() {
  if (device_.is_cpu()) {
    moments_.push_back(std::chrono::steady_clock::now());
    return;
  }
  // The other kind of event has no time.
  c10::Event event(device_.type(), c10::EventFlag::BACKEND_DEFAULT);
  event.record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
  events_.push_back(std::move(event));
}

std::vector<double> DeviceClock::seconds() const {
  std::vector<double> seconds;
  for (std::size_t i = 1; i < moments_.size(); ++i) {
    seconds.push_back(std::chrono::duration<double>(moments_[i] - moments_[i - 1]).count());
  }
  if (!events_.empty()) events_.back().synchronize();
  for (std::size_t i = 1; i < events_.size(); ++i) {
    seconds.push_back(events_[i - 1].elapsedTime(events_[i]) / 1000);
  }
  return seconds;
}

}  // namespace pergola::host
