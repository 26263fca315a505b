// SPDX-License-Identifier: BSD-3-Clause
// Region features from .npy files: numpy's format, versions 1 to 3, of one plain array; the pickles
// that the format allows as well are refused. No state; thread-safe.
// Legend: R = regions that are wanted, D = width of a region's features.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>

namespace pergola::host {

inline constexpr std::int64_t kMostRegions = 1 << 12;  // that may be wanted
inline constexpr std::int64_t kMostWidth = 1 << 16;

struct Regions {
  at::Tensor features_RD;  // zeros after the last region
  std::int64_t count;      // how many there are, at most R
};

// The first `wanted` regions of a file of [regions, D] float32 or float16 numbers in C order and
// little-endian, as numbers of `type`. Throws Error{kData} naming the file for anything else, a
// file that ends before its last number and numbers that the type does not hold among it. REQUIRES:
// 0 < wanted <= kMostRegions; type is kFloat, kHalf or kBFloat16.
[[nodiscard]] Regions read_regions(const std::filesystem::path& file, std::int64_t wanted,
                                   at::ScalarType type = at::kFloat);

}  // namespace pergola::host
