// SPDX-License-Identifier: BSD-3-Clause
// What the host itself puts into the registry: losses, metrics, optimizers and schedulers.
#pragma once

#include "pergola/registry.h"

#include <vector>

namespace pergola::host {

// An explicit list, not static constructors: a linker drops those of a static library.
[[nodiscard]] std::vector<Announcement> builtin_model_parts();

}  // namespace pergola::host
