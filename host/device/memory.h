// SPDX-License-Identifier: BSD-3-Clause
// How much memory a run holds: of the machine, and of its GPU. No state; thread-safe.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>

namespace pergola::host {

// Bytes that tensors hold on a device: now, and at most so far in this process. The allocator keeps
// more than that from the driver, for the next tensors.
struct DeviceMemory {
  std::int64_t allocated = 0;
  std::int64_t peak = 0;
};

// Nothing on the CPU, and before the device was used. Does not wait for the device.
[[nodiscard]] std::optional<DeviceMemory> device_memory(c10::Device device);

// Bytes of the machine's memory in which this process is (its resident set); 0 where the system
// does not say.
[[nodiscard]] std::int64_t process_memory() noexcept;

}  // namespace pergola::host
