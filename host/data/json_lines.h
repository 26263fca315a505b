// SPDX-License-Identifier: BSD-3-Clause
// A JSON Lines file, as text in memory with an index of its lines. A row is parsed whenever it is
// asked for: of a million rows of 200 bytes this is 200 MB, half of what they are as objects, and
// unlike a file that is read again it cannot change. LibTorch-free. Constant; thread-safe.
#pragma once

#include "pergola/error.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pergola::host {

class JsonLines {
 public:
  // No rows.
  JsonLines() = default;
  // Empty lines are passed over, as is a byte order mark. Throws Error{kData} when the file cannot
  // be read or has no rows.
  explicit JsonLines(std::filesystem::path file);

  [[nodiscard]] std::int64_t size() const noexcept {
    return static_cast<std::int64_t>(begins_.size());
  }
  // REQUIRES of these: 0 <= row < size().
  [[nodiscard]] std::string_view text(std::int64_t row) const;
  [[nodiscard]] std::int64_t line_number(std::int64_t row) const;  // from 1
  [[nodiscard]] std::string place(std::int64_t row) const;         // "train.jsonl:17"

  [[nodiscard]] const std::filesystem::path& file() const noexcept { return file_; }

 private:
  std::filesystem::path file_;
  std::string text_;
  std::vector<std::size_t> begins_;  // of the rows, in text_
  // Rows behind empty lines, and how many of these are before them: nothing in most files.
  std::vector<std::pair<std::int64_t, std::int64_t>> gaps_;
};

// Runs `work`, and says in its error which row it was about.
template <class Work>
void blame(const JsonLines& lines, std::int64_t row, const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    throw Error(error.kind(), lines.place(row), ": ", error.what());
  }
}

}  // namespace pergola::host
