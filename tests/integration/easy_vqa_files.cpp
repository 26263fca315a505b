// SPDX-License-Identifier: BSD-3-Clause
#include "integration/easy_vqa_files.h"

#include <nlohmann/json.hpp>
#include <png.h>

#include <array>
#include <fstream>
#include <stdexcept>
#include <vector>

namespace pergola::test {
namespace {

namespace fs = std::filesystem;
using Rgb = std::array<std::uint8_t, 3>;

constexpr std::size_t kSide = 16;

void write_text(const fs::path& file, const std::string& text) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << text;
  if (!out.flush()) throw std::runtime_error("cannot write " + file.string());
}

// `colour` with a darker square in it, so that images of one colour are not all the same.
void write_png(const fs::path& file, Rgb colour, std::size_t square) {
  std::vector<Rgb> pixels(kSide * kSide, colour);
  for (std::size_t i = 0; i < square * kSide; ++i) {
    if (i % kSide < square) pixels[i] = {colour[0], colour[1], 40};
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = kSide;
  image.height = kSide;
  image.format = PNG_FORMAT_RGB;
  if (png_image_write_to_file(&image, file.c_str(), /*convert_to_8bit=*/0, pixels.data(),
                              /*row_stride=*/0, /*colormap=*/nullptr) == 0) {
    throw std::runtime_error(file.string() + ": " + image.message);
  }
}

void write_split(const fs::path& folder, int images) {
  static const std::array<std::pair<const char*, Rgb>, 3> kColours = {
      {{"red", {250, 0, 0}}, {"green", {0, 250, 0}}, {"blue", {0, 0, 250}}}};
  fs::create_directories(folder / "images");
  nlohmann::json rows = nlohmann::json::array();
  for (int i = 0; i < images; ++i) {
    const auto& [name, colour] = kColours[static_cast<std::size_t>(i) % kColours.size()];
    write_png(folder / "images" / (std::to_string(i) + ".png"), colour,
              static_cast<std::size_t>(i) % kSide);
    rows.push_back({"what color is the shape?", name, i});
    rows.push_back({"is the shape red?", std::string(name) == "red" ? "yes" : "no", i});
  }
  write_text(folder / "questions.json", rows.dump());
}

}  // namespace

void write_easy_vqa(const fs::path& folder) {
  write_split(folder / "train", kTrainImages);
  write_split(folder / "test", kTestImages);
  write_text(folder / "answers.txt", "red\ngreen\nblue\nyes\nno\n");
}

}  // namespace pergola::test
