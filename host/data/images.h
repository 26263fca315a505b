// SPDX-License-Identifier: BSD-3-Clause
// Image files as tensors. No state; thread-safe.
// Legend: N = images, H, W = height and width in pixels.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <vector>

namespace pergola::host {

// One PNG or JPEG file as uint8 [3, H, W], red first. Throws Error{kData} as decode_png and
// decode_jpeg do, and when the file cannot be read.
[[nodiscard]] at::Tensor read_image(const std::filesystem::path& file);

// The image in another size: bilinear with antialias, over the whole of it, so that its proportions
// may change.  REQUIRES: uint8 [3, h, w]; height, width > 0.
[[nodiscard]] at::Tensor resize_image(const at::Tensor& image_3HW, std::int64_t height,
                                      std::int64_t width);

// PNG files of one size as uint8 [N, 3, H, W], decoded on `threads` threads. Throws Error{kData}
// for the first file, in the order of the list, that is bad or of another size than files[0]; and
// for files that together need more than 16 GB.  REQUIRES: files is not empty, threads > 0.
[[nodiscard]] at::Tensor read_images(const std::vector<std::filesystem::path>& files,
                                     std::int64_t threads);

}  // namespace pergola::host
