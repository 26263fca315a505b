// SPDX-License-Identifier: BSD-3-Clause
// A small counter-based random generator: its numbers are a function of the words that it is made
// from and of nothing else, so that shuffling and augmentation need no saved state
// (splitmix64; Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
// Not thread-safe; make one wherever it is needed.
#pragma once

#include "pergola/export.h"

#include <cstdint>
#include <vector>

namespace pergola {

class PERGOLA_API Rng {
 public:
  // For augmentation the host gives (seed, epoch, index of the sample).
  explicit Rng(std::uint64_t seed, std::uint64_t stream = 0, std::uint64_t index = 0) noexcept;

  [[nodiscard]] std::uint64_t next() noexcept;
  // Uniform in [0, 1), 53 bits.
  [[nodiscard]] double uniform() noexcept;
  // Uniform in [0, bound), without modulo bias.  REQUIRES: bound > 0.
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) noexcept;

 private:
  std::uint64_t state_;
};

// The numbers 0 .. size-1 in an order that is a function of (seed, stream) (Fisher-Yates).
[[nodiscard]] PERGOLA_API std::vector<std::int64_t> permutation(std::int64_t size,
                                                                std::uint64_t seed,
                                                                std::uint64_t stream);

}  // namespace pergola
