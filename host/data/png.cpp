// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/png.h"

#include "host/support/files.h"
#include "pergola/error.h"

#include <png.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>
#include <string>

namespace pergola::host {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kSignature = "\x89PNG\r\n\x1a\n"sv;

// What a file that is no PNG is, by its first bytes.
const char* kind_of(std::string_view bytes) {
  struct Magic {
    std::string_view start;
    const char* kind;
  };
  static constexpr std::array kMagics{
      Magic{"\xff\xd8\xff"sv, "a JPEG image"}, Magic{"GIF8"sv, "a GIF image"},
      Magic{"RIFF"sv, "a RIFF file (WebP?)"},  Magic{"BM"sv, "a BMP image"},
      Magic{"II*\0"sv, "a TIFF image"},        Magic{"MM\0*"sv, "a TIFF image"},
      Magic{"PK\x03\x04"sv, "a zip archive"},  Magic{"\x1f\x8b"sv, "a gzip archive"},
      Magic{"%PDF"sv, "a PDF document"},       Magic{"<"sv, "an HTML, XML or SVG text"},
  };
  for (const Magic& magic : kMagics) {
    if (bytes.starts_with(magic.start)) return magic.kind;
  }
  const std::string_view head = bytes.substr(0, 64);
  const bool text = std::all_of(head.begin(), head.end(), [](unsigned char c) {
    return std::isprint(c) != 0 || std::isspace(c) != 0;
  });
  return text ? "text" : "of an unknown kind";
}

std::uint32_t read_u32(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// Does the chain of chunks reach the closing one? libpng stops reading after the last pixel, so it
// would take a file whose end is missing.
bool is_complete(std::string_view bytes) {
  constexpr std::size_t kAround = 12;  // length, name and checksum of a chunk
  std::size_t at = kSignature.size();
  while (bytes.size() - at >= kAround) {
    const std::size_t length = read_u32(bytes, at);
    if (bytes.size() - at - kAround < length) return false;
    if (bytes.substr(at + 4, 4) == "IEND") return true;
    at += kAround + length;
  }
  return false;
}

struct FreeImage {
  void operator()(png_image* image) const noexcept { png_image_free(image); }
};

}  // namespace

RgbImage decode_png(std::string_view bytes, const std::filesystem::path& file) {
  if (bytes.empty()) {
    throw Error(ErrorKind::kData, "image ", file.string(),
                " is empty; expected a PNG image; restore the file");
  }
  if (kSignature.starts_with(bytes.substr(0, kSignature.size())) &&
      (bytes.size() < kSignature.size() || !is_complete(bytes))) {
    throw Error(ErrorKind::kData, "image ", file.string(), " is truncated: its ", bytes.size(),
                " bytes end before the PNG does; restore the file");
  }
  if (!bytes.starts_with(kSignature)) {
    throw Error(ErrorKind::kData, "image ", file.string(), " is not a PNG image but ",
                kind_of(bytes), "; convert it to PNG, or restore the file");
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, FreeImage> guard(&image);
  const auto check = [&](int done) {
    if (done != 0) return;
    throw Error(ErrorKind::kData, "image ", file.string(), " is damaged: libpng says '",
                image.message, "'; restore the file");
  };
  check(png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()));
  if (std::int64_t{image.width} * std::int64_t{image.height} > kMostPixels) {
    throw Error(ErrorKind::kData, "image ", file.string(), " has ", image.width, " x ",
                image.height, " pixels, more than the ", kMostPixels, " allowed; make it smaller");
  }
  image.format = PNG_FORMAT_RGB;
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // like 8-bit files that do not name their colour space
  RgbImage result{image.height, image.width, std::vector<std::uint8_t>(PNG_IMAGE_SIZE(image))};
  const png_color black{0, 0, 0};
  check(png_image_finish_read(&image, &black, result.pixels.data(), /*row_stride=*/0, nullptr));
  return result;
}

RgbImage read_png(const std::filesystem::path& file) {
  return decode_png(read_file(file, ErrorKind::kData, kMostImageBytes), file);
}

}  // namespace pergola::host
