// SPDX-License-Identifier: BSD-3-Clause
// Moments in the work of a device, to measure without waiting for it: on a GPU the moment at which
// it has done all that it was given before. One thread.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Event.h>

#include <chrono>
#include <vector>

namespace pergola::host {

class DeviceClock {
 public:
  explicit DeviceClock(c10::Device device) : device_(device) {}

  // Takes down a moment, behind the work that this thread has given to the device so far.
  void mark();

  // Seconds between each mark and the next one. Waits for the device.
  [[nodiscard]] std::vector<double> seconds() const;

 private:
  c10::Device device_;
  std::vector<std::chrono::steady_clock::time_point> moments_;  // of the CPU, which does its work
                                                                // when it is given to it
  std::vector<c10::Event> events_;                              // of a GPU
};

}  // namespace pergola::host
