// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/allocator_settings.h"

#include "pergola/suggest.h"

#include <array>
#include <cstdlib>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

enum class ValueKind { kBool, kNumber, kWord, kNumbers };

// Of LibTorch 2.11: of the allocators of all devices, and of CUDA's.
constexpr std::array<std::pair<std::string_view, ValueKind>, 14> kSettings = {{
    {"large_segment_size_mb", ValueKind::kNumber},
    {"max_split_size_mb", ValueKind::kNumber},
    {"max_non_split_rounding_mb", ValueKind::kNumber},
    {"garbage_collection_threshold", ValueKind::kNumber},
    {"roundup_power2_divisions", ValueKind::kNumbers},
    {"expandable_segments", ValueKind::kBool},
    {"pinned_use_background_threads", ValueKind::kBool},
    {"backend", ValueKind::kWord},
    {"release_lock_on_cudamalloc", ValueKind::kBool},
    {"pinned_use_cuda_host_register", ValueKind::kBool},
    {"graph_capture_record_stream_reuse", ValueKind::kBool},
    {"pinned_reserve_segment_size_mb", ValueKind::kNumber},
    {"pinned_num_register_threads", ValueKind::kNumber},
    {"per_process_memory_fraction", ValueKind::kNumber},
}};

std::vector<std::string> known_names() {
  std::vector<std::string> names;
  for (const auto& [name, kind] : kSettings) names.emplace_back(name);
  return names;
}

// Without blanks, at commas outside of [...].
std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> settings(1);
  bool is_list = false;
  for (const char c : text) {
    if (c == ' ' || (c >= '\t' && c <= '\r')) continue;
    if (c == '[' || c == ']') is_list = c == '[';
    if (c == ',' && !is_list) {
      settings.emplace_back();
    } else {
      settings.back() += c;
    }
  }
  return settings;
}

bool reads_as_number(const std::string& text) {
  if (text.empty() || text.find_first_not_of("0123456789.") != std::string::npos) return false;
  char* end = nullptr;
  std::strtod(text.c_str(), &end);
  return *end == '\0';
}

// What is expected in place of `value`; "" where it is right. LibTorch looks into lists.
std::string expected_value(ValueKind kind, const std::string& value) {
  const bool is_list = value.size() > 2 && value.front() == '[' && value.back() == ']';
  switch (kind) {
    case ValueKind::kBool:
      return value == "True" || value == "False" ? "" : "True or False";
    case ValueKind::kNumber:
      return reads_as_number(value) ? "" : "a number";
    case ValueKind::kWord:
      return value == "native" || value == "cudaMallocAsync" ? "" : "native or cudaMallocAsync";
    case ValueKind::kNumbers:
      return reads_as_number(value) || is_list ? ""
                                               : "a number, or a list such as [256:1,512:2,>:4]";
  }
  return "";
}

// What is wrong with "name:value"; "" where nothing is.
std::string problem_of(const std::string& setting) {
  const std::size_t colon = setting.find(':');
  if (colon == std::string::npos) {
    return concat("has '", setting, "', which is no setting; expected name:value, with commas ",
                  "between settings, such as \"expandable_segments:True\"");
  }
  const std::string name = setting.substr(0, colon);
  const std::string value = setting.substr(colon + 1);
  for (const auto& [known, kind] : kSettings) {
    if (name != known) continue;
    const std::string expected = expected_value(kind, value);
    if (expected.empty()) return "";
    return concat("has ", name, ":", value, "; expected ", name, ":", expected);
  }
  return concat("has a setting '", name, "', which LibTorch's allocator does not know",
                did_you_mean(name, known_names()));
}

}  // namespace

std::string allocator_settings(const Config& config, std::string_view key) {
  std::string text = config.get<std::string>(key);
  if (text.empty()) return text;
  for (const std::string& setting : split(text)) {
    if (const std::string problem = problem_of(setting); !problem.empty()) {
      throw config.error(key, problem);
    }
  }
  return text;
}

}  // namespace pergola::host
