// SPDX-License-Identifier: BSD-3-Clause
// What `pergola predict --checkpoint DIR --text ... --image ...` does: one sample that is in no
// data set, by what the checkpoint carries. Main thread. No LibTorch here.
#pragma once

#include "host/config/overrides.h"
#include "pergola/value.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace pergola::host {

struct SampleRequest {
  std::filesystem::path checkpoint;  // its folder; or a run's, for the best one there, or the last
  std::vector<Override> overrides;   // over the checkpoint's config
  std::vector<std::string> plugin_path;  // of --plugin-path
  std::string text;                      // empty: none
  std::vector<std::filesystem::path> images;
  std::vector<std::filesystem::path> features;
  std::int64_t top = 5;  // answers of the list; bounded by how many there are
};

// {answer, probability, top, checkpoint, model}, and what the model's format_for_prediction adds.
// Opens no data set. Throws Error: a checkpoint that is damaged, of another model or without what
// its data set must say, an input that is missing, one too many, or of another form, scores that
// are not finite.
[[nodiscard]] Value predict_sample(const SampleRequest& request);

}  // namespace pergola::host
