// SPDX-License-Identifier: BSD-3-Clause
// Counts the kernels that this process runs on a GPU, with LibTorch's profiler (Kineto, over
// CUPTI). Copies and fills of memory are none. What is counted is slower meanwhile. One at a time
// in a process, made and stopped by the same thread.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>

namespace pergola::host {

class KernelCounter {
 public:
  // Waits for the device, and counts from then on.  REQUIRES: `device` is a GPU.
  explicit KernelCounter(c10::Device device);
  KernelCounter(const KernelCounter&) = delete;
  KernelCounter& operator=(const KernelCounter&) = delete;
  ~KernelCounter();

  // Waits for the device, and ends the counting. Nothing where the profiler saw no kernel: on
  // many machines only root may look.
  [[nodiscard]] std::optional<std::int64_t> stop();

 private:
  c10::Device device_;
  bool is_counting_ = true;
};

}  // namespace pergola::host
