// SPDX-License-Identifier: BSD-3-Clause
// How much memory a run holds: of the machine, and of its GPU. No state; thread-safe.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <string>

namespace pergola::host {

// Bytes that tensors hold on a device: now, and at most so far in this process. The allocator keeps
// more than that from the driver, for the next tensors: that is reserved.
struct DeviceMemory {
  std::int64_t allocated = 0;
  std::int64_t peak = 0;
  std::int64_t reserved = 0;
  std::int64_t reserved_peak = 0;
  std::int64_t retries = 0;  // times it gave all that it kept unused back to get what was asked for
};

// Bytes of a device: all of them, and those that nobody holds, in this process or another.
struct DeviceRoom {
  std::int64_t total = 0;
  std::int64_t free = 0;
};

// Nothing on the CPU, and before the device was used. Does not wait for the device.
[[nodiscard]] std::optional<DeviceMemory> device_memory(c10::Device device);

// Nothing on the CPU. Asks the driver, which takes a moment.  REQUIRES: CUDA is loaded.
[[nodiscard]] std::optional<DeviceRoom> device_room(c10::Device device);

// "at most 16.02 GiB in tensors, 17.50 GiB reserved; 0 times memory kept unused had to be given
// back", which a run says at its end.
[[nodiscard]] std::string describe(const DeviceMemory& memory);

// Gives what the allocator keeps unused back to the driver. Nothing on the CPU, and before the
// device was used.
void release_unused_memory(c10::Device device);

// "512 bytes", "1.50 GiB": for messages.
[[nodiscard]] std::string bytes_text(std::int64_t bytes);

// What training.cuda_allocator says, unless a variable of the environment does, which wins. Throws
// Error{kConfig} for what LibTorch cannot read.
// REQUIRES: CUDA is loaded, and nothing has taken memory of a GPU.
void set_allocator(const std::string& settings);

// Bytes of the machine's memory in which this process is (its resident set); 0 where the system
// does not say.
[[nodiscard]] std::int64_t process_memory() noexcept;

}  // namespace pergola::host
