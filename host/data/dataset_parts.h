// SPDX-License-Identifier: BSD-3-Clause
// What the host's data sets share. No state; thread-safe.
#pragma once

#include "pergola/config.h"
#include "pergola/dataset.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <unordered_set>
#include <vector>

namespace pergola::host {

// Throws Error{kConfig} unless options.type is train, val or test.
void expect_known_split(const DatasetOptions& options);

// One of the config's `processors`; a relative vocab_file among its params is one in `data_dir`.
// Throws Error{kConfig} when it is missing, or no processor.
[[nodiscard]] TypedConfig processor_in(const Config& processors, const char* key,
                                       const std::filesystem::path& data_dir);

// Those of `groups` that train gives to val: `share` of the distinct ones, a function of them and
// the seed.  REQUIRES: 0 <= share <= 1, seed >= 0.
[[nodiscard]] std::unordered_set<std::int64_t> choose_val_groups(std::vector<std::int64_t> groups,
                                                                 double share, std::int64_t seed);

// An int64 0-d tensor.
[[nodiscard]] at::Tensor scalar_of(std::int64_t value);

}  // namespace pergola::host
