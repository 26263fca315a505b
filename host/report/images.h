// SPDX-License-Identifier: BSD-3-Clause
// Images as part of a page: `data:` URIs of PNG and JPEG files, as they are, within a budget, so
// that the page stays one that can be sent by mail. Not thread-safe.
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
  // Relative names are looked for in `folders`, in their order.
  explicit ImageShelf(std::vector<std::filesystem::path> folders) : folders_(std::move(folders)) {}

  [[nodiscard]] EmbeddedImage embed(const std::string& name);

 private:
  [[nodiscard]] std::filesystem::path find(const std::filesystem::path& name) const;

  std::vector<std::filesystem::path> folders_;
  std::uintmax_t left_ = 3'000'000;  // bytes of files
};

}  // namespace pergola::host
