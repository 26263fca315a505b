// SPDX-License-Identifier: BSD-3-Clause
// The objects of a COCO instances file ("instances_val2017.json"): what of it the evaluation of
// boxes needs. Plain values; thread-safe while they are not changed.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <vector>

namespace pergola::host {

using Box = std::array<double, 4>;  // x, y of the upper left corner, width, height, in pixels

struct TrueBox {
  std::int64_t category = 0;
  Box box{};
  double area = 0;     // of the object, not of its box
  bool crowd = false;  // a region with many of them, which is neither found nor missed
};

struct CocoFile {
  std::filesystem::path path;
  std::set<std::int64_t> categories;
  std::map<std::int64_t, std::vector<TrueBox>> images;  // by id; in the order of the file
};

// Reads `images`, `categories` and `annotations`; an annotation without area has that of its box,
// one without iscrowd is none, and one of an image or category that is not listed is left out.
// Throws Error{kData} when the file cannot be read, is not JSON (with line and column), or lacks
// something (with the place in it).
[[nodiscard]] CocoFile read_coco_file(const std::filesystem::path& path);

}  // namespace pergola::host
