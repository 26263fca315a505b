// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/jpeg.h"

#include "pergola/error.h"

#include <turbojpeg.h>

#include <memory>
#include <string>
#include <type_traits>

namespace pergola::host {
namespace {

using namespace std::string_view_literals;

struct Destroy {
  void operator()(void* handle) const noexcept { tjDestroy(handle); }
};
using Decoder = std::unique_ptr<std::remove_pointer_t<tjhandle>, Destroy>;

// Warnings that only say that a picture is not as it should be (bytes between its parts) are passed
// over, as by Pillow. But where the data end too early, a part of the picture is made up.
bool is_fatal(tjhandle decoder) {
  if (tjGetErrorCode(decoder) != TJERR_WARNING) return true;
  return std::string_view(tjGetErrorStr2(decoder)).find("remature end") != std::string_view::npos;
}

}  // namespace

bool is_jpeg(std::string_view bytes) { return bytes.starts_with("\xff\xd8\xff"sv); }

RgbImage decode_jpeg(std::string_view bytes, const std::filesystem::path& file) {
  const Decoder decoder(tjInitDecompress());
  PERGOLA_ASSERT(decoder != nullptr);
  const auto damaged = [&] {
    return Error(ErrorKind::kData, "image ", file.string(), " is damaged: libjpeg-turbo says '",
                 tjGetErrorStr2(decoder.get()), "'; restore the file");
  };
  const auto* const data = reinterpret_cast<const unsigned char*>(bytes.data());
  int width = 0;
  int height = 0;
  int subsampling = -1;
  int colours = -1;
  const int status = tjDecompressHeader3(decoder.get(), data, bytes.size(), &width, &height,
                                         &subsampling, &colours);
  // A header that fails after a warning has the warning's code, so what it gave is looked at.
  const bool is_whole = width > 0 && height > 0 && subsampling >= 0;
  if (status != 0 && (!is_whole || is_fatal(decoder.get()))) throw damaged();
  if (colours == TJCS_CMYK || colours == TJCS_YCCK) {
    throw Error(ErrorKind::kData, "image ", file.string(),
                " is a JPEG of CMYK colours, expected RGB or grey; convert it to RGB");
  }
  if (std::int64_t{width} * std::int64_t{height} > kMostPixels) {
    throw Error(ErrorKind::kData, "image ", file.string(), " has ", width, " x ", height,
                " pixels, more than the ", kMostPixels, " allowed; make it smaller");
  }
  RgbImage image{height, width, {}};
  image.pixels.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
  if (tjDecompress2(decoder.get(), data, bytes.size(), image.pixels.data(), width, /*pitch=*/0,
                    height, TJPF_RGB, TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS) != 0 &&
      is_fatal(decoder.get())) {
    throw damaged();
  }
  return image;
}

}  // namespace pergola::host
