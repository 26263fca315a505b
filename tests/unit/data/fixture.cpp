// SPDX-License-Identifier: BSD-3-Clause
#include "unit/data/fixture.h"

#include "host/data/registration.h"

#include <png.h>
#include <zlib.h>

#include <sstream>
#include <stdexcept>

namespace pergola::host::test {

std::string png_of(std::uint32_t width, std::uint32_t height, Rgb colour) {
  return png_of(width, height, std::vector<Rgb>(std::size_t{width} * height, colour));
}

std::string png_of(std::uint32_t width, std::uint32_t height, const std::vector<Rgb>& pixels) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string bytes(size, '\0');
  if (png_image_write_to_memory(&image, bytes.data(), &size, /*convert_to_8_bit=*/0, pixels.data(),
                                /*row_stride=*/0, nullptr) == 0) {
    throw std::runtime_error(image.message);
  }
  bytes.resize(size);
  return bytes;
}

std::string png_chunk(const std::string& name, const std::string& content) {
  const auto big_endian = [](std::uint64_t value) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xff);
    return bytes;
  };
  const std::string checked = name + content;
  const auto* const data = reinterpret_cast<const Bytef*>(checked.data());
  const auto checksum = crc32(0, data, static_cast<uInt>(checked.size()));
  return big_endian(content.size()) + checked + big_endian(checksum);
}

Registry data_registry() {
  Registry registry;
  registry.publish(builtin_data(), "host");
  return registry;
}

void write_easy_vqa(const TempFolder& folder, int train_images) {
  const auto write_split = [&](const std::string& split, int images, bool red) {
    std::ostringstream rows;
    for (int i = 0; i < images; ++i) {
      const auto shade = static_cast<std::uint8_t>(i);
      const Rgb colour = red ? Rgb{shade, 0, 0} : Rgb{0, shade, 0};
      folder.write(concat(split, "/images/", i, ".png"), png_of(4, 4, colour));
      rows << (i > 0 ? ",\n" : "") << "[\"what color is the shape?\", \"red\", " << i << "], "
           << "[\"is there a circle?\", \"" << (i % 2 == 0 ? "yes" : "no") << "\", " << i << "]";
    }
    folder.write(split + "/questions.json", concat("[", rows.str(), "]"));
  };
  write_split("train", train_images, /*red=*/true);
  write_split("test", 2, /*red=*/false);
  folder.write("answers.txt", "red\nyes\nno\n");
}

}  // namespace pergola::host::test
