// SPDX-License-Identifier: BSD-3-Clause
// References in the config's strings. No state; thread-safe, but for the environment, which nobody
// changes while it is read.
//
//   ${env:NAME}           the environment variable; an error when it is not set or empty
//   ${env:NAME,default}   the same, or else `default`, which may hold references itself
//   ${training.seed}      another key of the config. A string that is one such reference and
//   nothing
//                         else becomes that value, whatever its type; within a text, only strings,
//                         numbers and booleans are taken
//   $${                   the two characters ${
#pragma once

#include "pergola/value.h"

#include <string>
#include <string_view>

namespace pergola::host {

// A copy of `root` without references. Throws Error{kConfig}, with the place of the string, for a
// reference to what is not set or to itself, for one without its end, and when the references of
// the config would unfold to more than 64 MB or be chained more than 16 deep.
[[nodiscard]] Value resolve_references(const Value& root);

// The same for what is behind `path` alone, whatever the rest of `root` may be; null when there is
// nothing.
[[nodiscard]] Value resolve_references_at(const Value& root, std::string_view path);

// `text` so that resolve_references gives it back as it is.
[[nodiscard]] std::string escape_references(std::string_view text);

}  // namespace pergola::host
