// SPDX-License-Identifier: BSD-3-Clause
// Images as part of a page: `data:` URIs of PNG and JPEG files, as they are, within a budget, so
// that the page stays one that can be sent by mail; and none but those of the data and of the run,
// whatever a row names. Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

[[nodiscard]] std::string base64(std::string_view bytes);

struct EmbeddedImage {
  std::string uri;      // "" when it is not shown
  std::string problem;  // why not, in a few words
};

class ImageShelf {
 public:
  // Images that are, links followed, in one of `folders` or below it. Relative names are looked for
  // in them, in their order.
  explicit ImageShelf(const std::vector<std::filesystem::path>& folders);

  [[nodiscard]] EmbeddedImage embed(const std::string& name);

 private:
  struct Found {
    std::filesystem::path file;  // without links; empty when it is not shown
    const char* problem = "";
  };
  [[nodiscard]] Found find(const std::filesystem::path& name) const;
  [[nodiscard]] bool holds(const std::filesystem::path& file) const;

  std::vector<std::filesystem::path> folders_;  // without links
  std::uintmax_t left_ = 3'000'000;             // bytes of files
};

}  // namespace pergola::host
