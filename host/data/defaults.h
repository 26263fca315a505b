// SPDX-License-Identifier: BSD-3-Clause
// The config that the host's own data sets start from; files and the command line come on top.
// LibTorch-free, so that the config can be resolved without it. No state; thread-safe.
#pragma once

#include "pergola/value.h"

namespace pergola::host {

// dataset_config.easy_vqa: every key that there is, with its default.
[[nodiscard]] Value easy_vqa_defaults();

}  // namespace pergola::host
