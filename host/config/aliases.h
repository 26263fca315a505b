// SPDX-License-Identifier: BSD-3-Clause
// MMF's aliases: `model_config.a = "b"` makes model a from what is set for b, over a's own
// defaults. b need not be a model: it is a table for who points at it. No state; thread-safe.
#pragma once

#include "host/config/overrides.h"
#include "pergola/value.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace pergola::host {

// Of one section: a name → the string that stands in the place of its table.
using Aliases = std::map<std::string, Value>;

// Those of `section` ("model_config"). Of several layers that set a name as a whole, the last
// counts.
[[nodiscard]] Aliases find_aliases(const std::string& section, const Value& user,
                                   const std::vector<Override>& overrides);

// Gives each alias what both layers set for its target, and takes those targets out that are no
// names of their own: `is_known` says which are. Throws Error{kConfig} for an alias of itself, or
// of what is not set.
void follow_aliases(const std::string& section, const Aliases& aliases,
                    const std::function<bool(const std::string&)>& is_known, Value& user,
                    std::vector<Override>& overrides);

}  // namespace pergola::host
