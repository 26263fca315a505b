// SPDX-License-Identifier: BSD-3-Clause
// Counts the operations for which the CPU waits for a GPU: a number that is read (item()), a shape
// that depends on values (nonzero(), a boolean mask as an index), a tensor that is copied to the
// CPU. They are told by their names, so that all but the last are counted on the CPU as well, where
// they cost nothing. One at a time in a process. A copy to the CPU is found without a GPU by
// running the same on tensors of device "meta", which have no data: it throws.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <map>
#include <string>

namespace pergola::host {

class WaitingOperations {
 public:
  // Counts, in all threads, as long as it lives. With a GPU, on tensors of GPUs alone: nobody waits
  // for those of the CPU.
  explicit WaitingOperations(c10::Device device = c10::kCPU);
  ~WaitingOperations();
  WaitingOperations(const WaitingOperations&) = delete;
  WaitingOperations& operator=(const WaitingOperations&) = delete;

  // How often each was called so far, by LibTorch's name: "aten::_local_scalar_dense". The copy of
  // a tensor is "copy to the CPU".
  [[nodiscard]] std::map<std::string, std::int64_t> counts() const;

 private:
  std::uint64_t handle_;
};

}  // namespace pergola::host
