// SPDX-License-Identifier: BSD-3-Clause
// JPEG files to 8-bit RGB pixels, by libjpeg-turbo. LibTorch-free. No state; thread-safe.
#pragma once

#include "host/data/png.h"

#include <filesystem>
#include <string_view>

namespace pergola::host {

// Does a file that begins like this claim to be a JPEG?
[[nodiscard]] bool is_jpeg(std::string_view bytes);

// Decodes a whole JPEG file, baseline or progressive; grey becomes equal channels. The orientation
// that a camera notes beside the pixels is not looked at, as in torchvision. `file` is for
// messages. Throws Error{kData} when `bytes` are damaged or truncated, or of CMYK or of more than
// 64 million pixels.
[[nodiscard]] RgbImage decode_jpeg(std::string_view bytes, const std::filesystem::path& file);

}  // namespace pergola::host
