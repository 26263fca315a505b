// SPDX-License-Identifier: BSD-3-Clause
// tests/golden/fusions.json, and what its tests share.
#pragma once

#include "pergola/config.h"
#include "pergola/nn/fusions.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace pergola::nn {

inline const nlohmann::json& golden() {
  static const nlohmann::json golden =
      nlohmann::json::parse(std::ifstream(PERGOLA_GOLDEN_DIR "/fusions.json"));
  return golden;
}

inline Value to_value(const nlohmann::json& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_array()) {
    Value::Array array;
    for (const nlohmann::json& item : json) array.push_back(to_value(item));
    return array;
  }
  Value::Table table;
  for (const auto& [key, item] : json.items()) table.emplace(key, to_value(item));
  return table;
}

// What the model `m` holds under `part`: {type, params}.
inline Config part_config(const std::string& type, const Value::Table& params) {
  return Config(Value::Table{{"part", Value::Table{{"type", type}, {"params", params}}}},
                "model_config.m");
}

inline FusionConfig fusion_config(const std::string& type, const Value::Table& params) {
  return FusionConfig::parse(part_config(type, params), "part");
}

inline at::Tensor numbers(const nlohmann::json& list) {
  return torch::tensor(list.get<std::vector<double>>(), torch::kDouble);
}

// Of `found`, in single precision or less, and `expected`: the largest difference, where numbers
// above 1 count as 1.
inline double difference(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor flat = found.detach().flatten().to(torch::kDouble);
  return ((flat - expected).abs() / expected.abs().clamp_min(1)).max().item<double>();
}

}  // namespace pergola::nn
