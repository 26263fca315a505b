// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/anls.h"

#include "host/data/vocab.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lower_stripped(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), to_lower);
  return result;
}

// How many bytes the character has whose first byte this is; 1 where it can be none.
std::size_t length_of(unsigned char first) {
  if (first >= 0xf0 && first < 0xf8) return 4;
  if (first >= 0xe0 && first < 0xf0) return 3;
  return first >= 0xc0 && first < 0xe0 ? 2 : 1;
}

// One number a character: its bytes one after the other, which only has to tell characters apart.
std::vector<std::uint32_t> characters(std::string_view text) {
  std::vector<std::uint32_t> result;
  result.reserve(text.size());
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t length = length_of(static_cast<unsigned char>(text[begin]));
    const std::string_view rest = text.substr(begin + 1, length - 1);
    const bool whole =
        rest.size() == length - 1 && std::all_of(rest.begin(), rest.end(), [](char c) {
          return (static_cast<unsigned char>(c) & 0xc0U) == 0x80;
        });
    if (!whole) length = 1;
    std::uint32_t character = 0;
    for (const char c : text.substr(begin, length)) {
      character = character << 8U | static_cast<unsigned char>(c);
    }
    result.push_back(character);
    begin += length;
  }
  return result;
}

// Row by row through the table of distances between beginnings; one row is kept.
std::int64_t distance_of(const std::vector<std::uint32_t>& left,
                         const std::vector<std::uint32_t>& right) {
  std::vector<std::int64_t> row(right.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (const std::uint32_t character : left) {
    std::int64_t diagonal = row[0]++;
    for (std::size_t j = 1; j < row.size(); ++j) {
      const std::int64_t replaced = diagonal + (character == right[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace

std::int64_t edit_distance(std::string_view left, std::string_view right) {
  return distance_of(characters(left), characters(right));
}

double anls(std::string_view left, std::string_view right) {
  const auto left_characters = characters(lower_stripped(left));
  const auto right_characters = characters(lower_stripped(right));
  const std::size_t longest = std::max(left_characters.size(), right_characters.size());
  if (longest == 0) return 1;
  const auto distance = static_cast<double>(distance_of(left_characters, right_characters));
  const double similarity = 1 - distance / static_cast<double>(longest);
  constexpr double kLeast = 0.5;
  return similarity >= kLeast ? similarity : 0;
}

}  // namespace pergola::host
