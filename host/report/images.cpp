// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/images.h"

#include "host/report/format.h"
#include "host/support/files.h"
#include "pergola/error.h"

#include <algorithm>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMostBytes = 1'000'000;  // of one image

const char* mime_type(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return "image/png";
  if (bytes.starts_with("\xff\xd8\xff")) return "image/jpeg";
  return nullptr;
}

}  // namespace

std::string base64(std::string_view bytes) {
  constexpr const char* kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      three = three << 8U | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      const bool is_there = i + k < bytes.size() + 1;  // n bytes make n + 1 digits
      text += is_there ? kDigits[three >> (18 - 6 * k) & 63U] : '=';
    }
  }
  return text;
}

ImageShelf::ImageShelf(const std::vector<fs::path>& folders) {
  for (const fs::path& folder : folders) {
    std::error_code error;
    fs::path canonical = fs::canonical(folder, error);
    if (!error) folders_.push_back(std::move(canonical));
  }
}

bool ImageShelf::holds(const fs::path& file) const {
  return std::ranges::any_of(folders_, [&](const fs::path& folder) {
    return std::mismatch(folder.begin(), folder.end(), file.begin(), file.end()).first ==
           folder.end();
  });
}

ImageShelf::Found ImageShelf::find(const fs::path& name) const {
  Found found{{}, "the image is not there any more"};
  if (name.empty()) return found;
  for (const fs::path& folder : folders_) {
    std::error_code error;
    fs::path file = fs::canonical(folder / name, error);  // an absolute name is as it is
    if (error) continue;
    if (holds(file)) return {std::move(file), ""};
    found.problem = "left out: it is outside of the folders of the data and of the run";
  }
  return found;
}

EmbeddedImage ImageShelf::embed(const std::string& name) {
  const auto [file, problem] = find(name);
  if (file.empty()) return {"", problem};
  std::error_code error;
  const std::uintmax_t size = fs::file_size(file, error);
  if (!error && size > kMostBytes) return {"", "left out: " + size_text(size)};
  if (!error && size > left_) return {"", "left out: the page is full"};
  try {
    const std::string bytes = read_file(file, ErrorKind::kData, kMostBytes);
    const char* const type = mime_type(bytes);
    if (type == nullptr) return {"", "neither PNG nor JPEG"};
    left_ -= std::min(left_, static_cast<std::uintmax_t>(bytes.size()));
    return {concat("data:", type, ";base64,", base64(bytes)), ""};
  } catch (const Error&) {
    return {"", "the image cannot be read"};
  }
}

}  // namespace pergola::host
