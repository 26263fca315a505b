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
#include <string>
#include <string_view>
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

// `split_train` of a data set's config: the parts of train that are val and test, as MMF carves
// them. The groups of train (rows about one image) are put in an order that is a function of them
// and the seed; val has the first part, test the next one, and train what is left. So no group is
// in two splits, each is in one, and val is the same whatever test is.
struct SplitTrain {
  double val = 0.0;   // in [0, 1]; 0: train gives it nothing
  double test = 0.0;  // likewise; below 1 together with val
  std::int64_t seed = 123456;

  // The config's `split_train`; what it leaves out is as in `defaults`. Throws Error{kConfig} for a
  // key or number that is wrong, and for parts that leave nothing of train.
  [[nodiscard]] static SplitTrain parse(const Config& config, const SplitTrain& defaults);

  // Is the split train, or a part of it?
  [[nodiscard]] bool has(std::string_view split) const noexcept;
  // The rows that are of the split, ascending; none of a part of 0. `groups`: for each row of
  // train, its group.
  [[nodiscard]] std::vector<std::int64_t> rows_of(std::string_view split,
                                                  const std::vector<std::int64_t>& groups) const;
};

// Throws Error{kConfig}: the split is empty, since split_train leaves none of `what` ("images") of
// `place` for it.
[[noreturn]] void refuse_empty_split(const DatasetOptions& options, const SplitTrain& split_train,
                                     const std::string& place, const char* what);

// An int64 0-d tensor.
[[nodiscard]] at::Tensor scalar_of(std::int64_t value);

}  // namespace pergola::host
