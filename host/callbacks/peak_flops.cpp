// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/peak_flops.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

namespace pergola::host {
namespace {

// 1e12 operations a second.
struct Peak {
  std::string_view name;  // all of its words are in the device's name
  double half;            // bfloat16 and float16, summed up in float32
  double tf32;
  double fp32;
};

// From NVIDIA's data sheets of each product; where these count sparse matrices, half of it. The
// more special names come first.
constexpr std::array<Peak, 8> kPeaks = {{
    {"H200", 989.4, 494.7, 66.9},
    {"GH200", 989.4, 494.7, 66.9},
    {"H100 PCIe", 756.5, 378, 51.2},
    {"H100 HBM3", 989.4, 494.7, 66.9},
    {"A100", 312, 156, 19.5},
    {"L40S", 362, 183, 91.6},
    {"L4", 121, 60, 30.3},
    {"A10", 125, 62.5, 31.2},
}};

// What is between spaces, commas, dashes and brackets.
std::vector<std::string_view> words_of(std::string_view text) {
  constexpr std::string_view kBetween = " ,-()";
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(kBetween), text.size());
    if (end > 0) words.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

}  // namespace

std::optional<double> peak_flops(const std::string& device, Precision precision) {
  const std::vector<std::string_view> words = words_of(device);
  const auto has = [&](std::string_view word) {
    return std::ranges::find(words, word) != words.end();
  };
  // A part of a device, and one of other clocks than those of its name.
  if (has("MIG") || has("NVL")) return std::nullopt;
  for (const Peak& peak : kPeaks) {
    if (!std::ranges::all_of(words_of(peak.name), has)) continue;
    switch (precision) {
      case Precision::kFp32:
        return peak.fp32 * 1e12;
      case Precision::kTf32:
        return peak.tf32 * 1e12;
      case Precision::kBf16:
      case Precision::kFp16:
        return peak.half * 1e12;
    }
  }
  return std::nullopt;
}

}  // namespace pergola::host
