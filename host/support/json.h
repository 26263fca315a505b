// SPDX-License-Identifier: BSD-3-Clause
// JSON to and from Values. Integers stay 64-bit integers; JSON has no NaN and no infinity, so these
// are written as null. No state; thread-safe.
#pragma once

#include "pergola/error.h"
#include "pergola/value.h"

#include <string>
#include <string_view>

namespace pergola::host {

// One line, or, with indent >= 0, a line for each element. Keys are sorted; floats have the fewest
// digits that read back as the same number; bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] std::string to_json(const Value& value, int indent = -1);

// The Value that `text` holds. `where` is the file or whatever else `text` came from: it is in the
// origin of every table and array, and in the message. Throws Error of that kind, with line and
// column, for what is not JSON, for a number that no 64-bit number holds, and for text nested
// deeper than 200 levels.
[[nodiscard]] Value from_json(std::string_view text, const std::string& where,
                              ErrorKind kind = ErrorKind::kData);

}  // namespace pergola::host
