// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/json_lines.h"

#include "host/support/files.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace pergola::host {

JsonLines::JsonLines(std::filesystem::path file)
    : file_(std::move(file)), text_(read_file(file_, ErrorKind::kData)) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  std::size_t begin = text_.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  std::int64_t empty_lines = 0;
  while (begin < text_.size()) {
    const std::size_t end = std::min(text_.find('\n', begin), text_.size());
    const std::size_t first = text_.find_first_not_of(" \t\r", begin);
    if (first >= end) {
      ++empty_lines;
    } else {
      if (empty_lines > (gaps_.empty() ? 0 : gaps_.back().second))
        gaps_.emplace_back(size(), empty_lines);
      begins_.push_back(first);
    }
    begin = end + 1;
  }
  if (!begins_.empty()) return;
  throw Error(ErrorKind::kData, file_.string(),
              " has no rows, expected JSON Lines: one object a line; restore the file");
}

std::string_view JsonLines::text(std::int64_t row) const {
  PERGOLA_ASSERT(row >= 0 && row < size());
  const std::size_t begin = begins_[static_cast<std::size_t>(row)];
  return std::string_view(text_).substr(begin, text_.find('\n', begin) - begin);
}

std::int64_t JsonLines::line_number(std::int64_t row) const {
  PERGOLA_ASSERT(row >= 0 && row < size());
  const auto next =
      std::upper_bound(gaps_.begin(), gaps_.end(), row,
                       [](std::int64_t wanted, const auto& gap) { return wanted < gap.first; });
  return 1 + row + (next == gaps_.begin() ? 0 : std::prev(next)->second);
}

std::string JsonLines::place(std::int64_t row) const {
  return concat(file_.string(), ":", line_number(row));
}

}  // namespace pergola::host
