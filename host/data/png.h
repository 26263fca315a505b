// SPDX-License-Identifier: BSD-3-Clause
// PNG files to 8-bit RGB pixels, by libpng. LibTorch-free. No state; thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

namespace pergola::host {

inline constexpr std::int64_t kMostPixels = 64'000'000;
// That many pixels of four channels of 16 bits that cannot be compressed, and a little.
inline constexpr std::uintmax_t kMostImageBytes = 600'000'000;

struct RgbImage {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::vector<std::uint8_t> pixels;  // height x width x 3, rows from the top
};

// Decodes a whole PNG file of any colour type, depth and interlacing; grey becomes equal channels,
// transparent pixels are blended with black. `file` is for messages. Throws Error{kData} when
// `bytes` are something else (the message says what), truncated, damaged, or of more than 64
// million pixels.
[[nodiscard]] RgbImage decode_png(std::string_view bytes, const std::filesystem::path& file);

// The same from a file; also Error{kData} when it cannot be read.
[[nodiscard]] RgbImage read_png(const std::filesystem::path& file);

}  // namespace pergola::host
