// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/tensor_memory.h"

#include <c10/core/Allocator.h>

#include <cstddef>
#include <mutex>
#include <unordered_map>

namespace pergola::host {

// A DebugInfo, because LibTorch hands these on to the threads of its backward passes.
struct TensorMemory::Counter : c10::MemoryReportingInfoBase {
  // `size` is negative where memory is given back.
  void reportMemoryUsage(void* memory, std::int64_t size, std::size_t /*allocated*/,
                         std::size_t /*reserved*/, c10::Device /*device*/) override {
    const std::lock_guard lock(mutex);
    if (size >= 0) {
      sizes[memory] = size;
      bytes += size;
    } else if (const auto found = sizes.find(memory); found != sizes.end()) {
      bytes -= found->second;
      sizes.erase(found);
    }
  }
  [[nodiscard]] bool memoryProfilingEnabled() const override { return true; }

  std::mutex mutex;
  std::unordered_map<void*, std::int64_t> sizes;
  std::int64_t bytes = 0;
};

TensorMemory::TensorMemory()
    : counter_(std::make_shared<Counter>()), guard_(c10::DebugInfoKind::PROFILER_STATE, counter_) {}

TensorMemory::~TensorMemory() = default;

std::int64_t TensorMemory::bytes() const noexcept {
  const std::lock_guard lock(counter_->mutex);
  return counter_->bytes;
}

}  // namespace pergola::host
