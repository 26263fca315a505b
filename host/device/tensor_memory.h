// SPDX-License-Identifier: BSD-3-Clause
// Counts, to the byte, the memory of tensors that this thread and its backward passes allocate and
// give back: what grows from step to step is a leak, however small.
#pragma once

#include <c10/util/ThreadLocalDebugInfo.h>

#include <cstdint>
#include <memory>

namespace pergola::host {

class TensorMemory {
 public:
  // Counts as long as it lives.
  TensorMemory();
  TensorMemory(const TensorMemory&) = delete;
  TensorMemory& operator=(const TensorMemory&) = delete;
  ~TensorMemory();

  // Bytes that were allocated since it began, less those that were given back; of any device.
  // Tensors that were there before do not count, whenever they end.
  [[nodiscard]] std::int64_t bytes() const noexcept;

 private:
  struct Counter;
  std::shared_ptr<Counter> counter_;
  c10::DebugInfoGuard guard_;
};

}  // namespace pergola::host
