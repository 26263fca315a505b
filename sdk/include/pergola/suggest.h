// SPDX-License-Identifier: BSD-3-Clause
// "Did you mean": the known name that is closest to a mistyped one. Thread-safe.
#pragma once

#include "pergola/export.h"

#include <string>
#include <string_view>
#include <vector>

namespace pergola {

// The candidate that differs from `name` in upper and lower case alone, else the one with the
// smallest Damerau-Levenshtein distance to it, or "" when none is near enough (more than a third of
// the longer name would have to change).
[[nodiscard]] PERGOLA_API std::string closest(std::string_view name,
                                              const std::vector<std::string>& candidates);

// The end of an error sentence: "; did you mean 'x'?", or, without a near candidate, a list of what
// there is ("; known are a, b, c"), or "" when there are no candidates.
[[nodiscard]] PERGOLA_API std::string did_you_mean(std::string_view name,
                                                   const std::vector<std::string>& candidates);

// "a, b, c"
[[nodiscard]] PERGOLA_API std::string join(const std::vector<std::string>& words,
                                           std::string_view separator = ", ");

}  // namespace pergola
