// SPDX-License-Identifier: BSD-3-Clause
// What the host's data sets share. No state; thread-safe.
#pragma once

#include "pergola/config.h"
#include "pergola/dataset.h"
#include "pergola/processor.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace pergola::host {

// Throws Error{kConfig} unless options.type is train, val or test.
void expect_known_split(const DatasetOptions& options);

// The keys of the config's `processors`.
inline constexpr const char* kTextProcessorKey = "text_processor";
inline constexpr const char* kAnswerProcessorKey = "answer_processor";
inline constexpr const char* kImageProcessorKey = "image_processor";

// One of the config's `processors`; a relative vocab_file among its params is one in `data_dir`.
// Throws Error{kConfig} when it is missing, or no processor.
[[nodiscard]] TypedConfig processor_in(const Config& processors, const char* key,
                                       const std::filesystem::path& data_dir);

// A member of options.state. Throws Error{kCheckpoint} when it is missing.
// REQUIRES: options.state is not null.
[[nodiscard]] const Value& saved(const DatasetOptions& options, std::string_view path);

// The processor that `config` names: as it has been when options.state was saved, or, without a
// state, for fit(). With a state, which is for samples of a user's, it masks nothing
// (mask_probability). `key` is its key in the config's `processors`.
[[nodiscard]] std::unique_ptr<Processor> make_processor(const DatasetOptions& options,
                                                        TypedConfig config, const char* key);
// What make_processor() restores, the member `processors` of a data set's state.
using ProcessorKeys = std::vector<std::pair<const char*, const Processor*>>;
[[nodiscard]] Value state_of(const ProcessorKeys& processors);

// Throws Error{kConfig} when `inputs` has no text, or other numbers of images and features than a
// sample of the data; the message names the option.
void expect_inputs(const SampleInputs& inputs, std::size_t images, std::size_t features);

// Those of `groups` that train gives to val: `share` of the distinct ones, a function of them and
// the seed.  REQUIRES: 0 <= share <= 1, seed >= 0.
[[nodiscard]] std::unordered_set<std::int64_t> choose_val_groups(std::vector<std::int64_t> groups,
                                                                 double share, std::int64_t seed);

// An int64 0-d tensor.
[[nodiscard]] at::Tensor scalar_of(std::int64_t value);

}  // namespace pergola::host
