// SPDX-License-Identifier: BSD-3-Clause
// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), laid out as
// cuRAND lays out its sequences: counter = (offset / 4, sequence). Device code.
#pragma once

#include "host/device/cuda/kernels/random.h"

namespace pergola::cuda {

// Eight neighbours' random bits, 16 each.
struct RandomBits {
  std::uint32_t words[4];

  __device__ std::uint32_t of(int i) const {
    return i % 2 == 0 ? words[i / 2] & 0xffffU : words[i / 2] >> 16;
  }
};

class Philox {
 public:
  __device__ explicit Philox(const RandomState& state) {
    const bool recorded = state.seed_at != nullptr;
    const std::uint64_t seed = recorded ? static_cast<std::uint64_t>(*state.seed_at) : state.seed;
    const std::uint64_t offset =
        recorded ? static_cast<std::uint64_t>(*state.offset_at) + state.offset : state.offset;
    key_[0] = static_cast<std::uint32_t>(seed);
    key_[1] = static_cast<std::uint32_t>(seed >> 32);
    begin_ = offset / 4;
  }

  // The first draw of a sequence.
  __device__ RandomBits draw(std::uint64_t sequence) const {
    std::uint32_t c0 = static_cast<std::uint32_t>(begin_);
    std::uint32_t c1 = static_cast<std::uint32_t>(begin_ >> 32);
    std::uint32_t c2 = static_cast<std::uint32_t>(sequence);
    std::uint32_t c3 = static_cast<std::uint32_t>(sequence >> 32);
    std::uint32_t k0 = key_[0];
    std::uint32_t k1 = key_[1];
#pragma unroll
    for (int round = 0; round < 10; ++round) {
      const std::uint32_t high0 = __umulhi(0xD2511F53U, c0);
      const std::uint32_t low0 = 0xD2511F53U * c0;
      const std::uint32_t high1 = __umulhi(0xCD9E8D57U, c2);
      const std::uint32_t low1 = 0xCD9E8D57U * c2;
      c0 = high1 ^ c1 ^ k0;
      c1 = low1;
      c2 = high0 ^ c3 ^ k1;
      c3 = low0;
      k0 += 0x9E3779B9U;
      k1 += 0xBB67AE85U;
    }
    return {{c0, c1, c2, c3}};
  }

 private:
  std::uint32_t key_[2];
  std::uint64_t begin_;
};

}  // namespace pergola::cuda
