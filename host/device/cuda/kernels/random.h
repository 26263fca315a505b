// SPDX-License-Identifier: BSD-3-Clause
// Where a kernel's random numbers come from: LibTorch's generator, as a kernel of its own would
// draw them, so that a run's seed, its checkpoints and its graphs hold for ours, too. Plain data.
#pragma once

#include <cstdint>

namespace pergola::cuda {

// at::PhiloxCudaState without LibTorch's headers. In a graph that is being recorded seed and offset
// are known only when it is replayed: then they are read through the pointers.
struct RandomState {
  std::uint64_t seed = 0;
  std::uint64_t offset = 0;  // or, through the pointer, what comes on top of it
  const std::int64_t* seed_at = nullptr;
  const std::int64_t* offset_at = nullptr;
};

// A number that is dropped becomes 0, another one is multiplied by `scale`. One draw of Philox, 128
// bits, decides eight neighbours, so a probability is a multiple of 1 / 65536; the scale is that of
// the rounded one, so that the mean stays what it was.
struct Dropout {
  Dropout() = default;
  explicit Dropout(double probability) {
    threshold = static_cast<std::uint32_t>(probability * 65536 + 0.5);
    scale = threshold < 65536 ? 65536.0F / static_cast<float>(65536 - threshold) : 0.0F;
  }
  [[nodiscard]] bool active() const { return threshold != 0; }

  std::uint32_t threshold = 0;  // of 65536: 16 random bits below it drop a number
  float scale = 1;
  RandomState random;
};

}  // namespace pergola::cuda
