// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/average.h"

#include <algorithm>
#include <utility>

namespace pergola::host {

const char* average_meaning(Average average) noexcept {
  switch (average) {
    case Average::kChosen:
      return "";
    case Average::kBinary:
      return " of class 1";
    case Average::kMicro:
      return " of all classes taken together";
    case Average::kMacro:
      return ", the mean over classes";
    case Average::kWeighted:
      return ", the mean over classes weighted by their targets";
  }
  return "";
}

ParamSpec average_param(const char* fallback, std::vector<std::string> choices) {
  const bool binary = std::find(choices.begin(), choices.end(), "binary") != choices.end();
  return {.name = "average",
          .fallback = fallback,
          .meaning = binary ? "how classes are averaged; binary: class 1 alone, of two"
                            : "how classes are averaged",
          .choices = std::move(choices)};
}

Average chosen_average(Average average, const Config& params) {
  if (average != Average::kChosen) return average;
  const auto name = params.get<std::string>("average");
  if (name == "binary") return Average::kBinary;
  if (name == "micro") return Average::kMicro;
  return name == "macro" ? Average::kMacro : Average::kWeighted;
}

}  // namespace pergola::host
