// SPDX-License-Identifier: BSD-3-Clause
// How one layer of the config goes over another. No state; thread-safe.
#pragma once

#include "pergola/value.h"

#include <string>

namespace pergola::host {

// Puts `overlay` over `base`. Tables merge key by key; everything else, arrays included, is
// replaced. A table whose `type` becomes another one loses its old `params`: they were for the old
// type (MMF #633). Each value keeps the origin of the layer that it comes from; a table, that of
// the topmost layer that has it.
void merge(Value& base, const Value& overlay);

// Says of `value` and all in it that they come from `origin`.
void set_origins(Value& value, const std::string& origin);

}  // namespace pergola::host
