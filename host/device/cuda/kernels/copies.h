// SPDX-License-Identifier: BSD-3-Clause
// Copies of several pieces of memory in one launch, as a value: what a CUDA graph has recorded of
// it can be given other pieces to read.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace pergola::cuda {

class Copies {
 public:
  struct Piece {
    const void* from;
    void* into;
    std::int64_t bytes;
  };
  static constexpr std::size_t kMost = 896;  // pieces: their arguments fit in 32 KB

  // REQUIRES: at most kMost pieces.
  explicit Copies(const std::vector<Piece>& pieces);
  ~Copies();

  [[nodiscard]] bool empty() const;  // there is not one byte to copy

  // From now on piece `i` is read there.
  void read(std::size_t i, const void* from);

  // The launch, with pointers into this object.  REQUIRES: !empty().
  [[nodiscard]] cudaKernelNodeParams launch();

 private:
  struct Launch;
  std::unique_ptr<Launch> launch_;
};

}  // namespace pergola::cuda
