// SPDX-License-Identifier: BSD-3-Clause
// How numbers of single classes become one (scikit-learn's `average`). No state; thread-safe.
#pragma once

#include "pergola/component.h"

#include <string>
#include <vector>

namespace pergola::host {

enum class Average {
  kChosen,    // what the param `average` says
  kBinary,    // that of class 1
  kMicro,     // of all classes taken together, as if they were one
  kMacro,     // the mean over classes
  kWeighted,  // the mean over classes, weighted by how often the targets have them
};

// "; the mean over classes", ...: for a summary. "" for kChosen.
[[nodiscard]] const char* average_meaning(Average average) noexcept;

// The param `average`, whose choices are "binary", "micro", "macro", "weighted" or some of these.
[[nodiscard]] ParamSpec average_param(const char* fallback, std::vector<std::string> choices);

// `average`, or what the param says where it is kChosen.
[[nodiscard]] Average chosen_average(Average average, const Config& params);

}  // namespace pergola::host
