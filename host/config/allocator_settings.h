// SPDX-License-Identifier: BSD-3-Clause
// training.cuda_allocator: what LibTorch's allocator on a GPU takes, known where there is none,
// too. No state; thread-safe.
#pragma once

#include "pergola/config.h"

#include <string>
#include <string_view>

namespace pergola::host {

// The settings at `key`, such as "expandable_segments:True,max_split_size_mb:256"; empty: none.
// Throws Error{kConfig} for a setting that LibTorch has not, or a value of another kind.
[[nodiscard]] std::string allocator_settings(const Config& config, std::string_view key);

}  // namespace pergola::host
