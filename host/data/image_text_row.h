// SPDX-License-Identifier: BSD-3-Clause
// One row of the data set `image_text`, as it is written. LibTorch-free; a plain value.
#pragma once

#include "host/data/json_lines.h"
#include "pergola/sample_list.h"
#include "pergola/value.h"

#include <cstdint>
#include <optional>
#include <string>

namespace pergola::host {

struct ImageTextRow {
  Value id;          // a string or an integer; null when the row has none
  std::string text;  // of `text`, `question` or `sentence`
  Strings images;    // paths, in the order of the row
  Strings features;
  // At most one of them: a class number or its word; what somebody, or several, answered.
  enum class Target { kNone, kLabel, kAnswers } target = Target::kNone;
  std::optional<std::int64_t> class_number;  // of a label that is a number
  // Otherwise the label's word, or all answers; of several, some may be blank.
  Strings answers;
};

// Throws Error{kData} with file and line for what is no object of this form: no text or two of
// them, neither image nor features, two of `label`, `answer` and `answers`, another type, a class
// number that cannot be, answers that are all blank, no JSON, or one that is nested too deep.
// Other keys are passed over, and so is null.  REQUIRES: 0 <= row < lines.size().
[[nodiscard]] ImageTextRow parse_image_text_row(const JsonLines& lines, std::int64_t row);

}  // namespace pergola::host
