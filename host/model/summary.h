// SPDX-License-Identifier: BSD-3-Clause
// How large a model is, as a whole and by its parts.
#pragma once

#include "pergola/base_model.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pergola::host {

// A module right below the model, or a parameter or buffer of the model itself.
struct ModelPart {
  std::string name;
  std::int64_t parameters = 0;  // elements
  std::int64_t trained = 0;     // of these, the ones that require a gradient
  std::int64_t bytes = 0;       // parameters and buffers
};

struct ModelSummary {
  std::int64_t parameters = 0;
  std::int64_t trained = 0;
  std::int64_t bytes = 0;
  std::vector<ModelPart> parts;  // in the model's order

  // "112044290 parameters (112.0 M, 427.4 MiB), 94000 of them trained"
  [[nodiscard]] std::string total() const;
  // A line for each part and one for the model, in columns under a head.
  [[nodiscard]] std::string table() const;
};

// A tensor that several parts share is the first one's.  [main-thread & built]
[[nodiscard]] ModelSummary summarize(const BaseModel& model);

// The table as a line of the log; at the level debug where it has more than `kMostParts` lines.
// Call it when parameters are frozen.
inline constexpr std::size_t kMostParts = 12;
void log_parts(const BaseModel& model);

}  // namespace pergola::host
