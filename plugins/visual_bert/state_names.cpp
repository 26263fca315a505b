// SPDX-License-Identifier: BSD-3-Clause
#include "state_names.h"

#include <initializer_list>
#include <string_view>
#include <utility>

namespace pergola::visual_bert {
namespace {

using Names = std::initializer_list<std::pair<std::string_view, std::string_view>>;

// The first prefix of the list that `key` has is replaced.
std::string with_prefix(const std::string& key, const Names& names) {
  for (const auto& [from, to] : names) {
    if (key.starts_with(from)) return std::string(to) + key.substr(from.size());
  }
  return key;
}

std::string with_part(std::string key, const Names& names) {
  for (const auto& [from, to] : names) {
    const std::size_t at = key.find(from);
    if (at != std::string::npos) key.replace(at, from.size(), to);
  }
  return key;
}

}  // namespace

std::string current_name(const std::string& key) {
  const std::string placed = with_prefix(key, {{"bert.bert.", "model.bert."},
                                               {"bert.cls.", "model.cls."},
                                               {"bert.classifier.", "model.classifier."}});
  return with_part(
      placed, {{".LayerNorm.gamma", ".LayerNorm.weight"}, {".LayerNorm.beta", ".LayerNorm.bias"}});
}

}  // namespace pergola::visual_bert
