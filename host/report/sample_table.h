// SPDX-License-Identifier: BSD-3-Clause
// The part of the page with predictions. No state; thread-safe.
#pragma once

#include "host/report/html.h"
#include "host/report/run_facts.h"

#include <cstddef>

namespace pergola::host {

// For each file of the run's predictions, `most` rows of it with their images. Empty when there is
// none; files that cannot be read are noted in `facts`.
[[nodiscard]] Html predictions_body(RunFacts& facts, std::size_t most);

}  // namespace pergola::host
