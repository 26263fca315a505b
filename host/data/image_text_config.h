// SPDX-License-Identifier: BSD-3-Clause
// dataset_config.image_text as a struct, with paths resolved. Plain data.
#pragma once

#include "host/data/dataset_parts.h"
#include "pergola/config.h"
#include "pergola/dataset.h"

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace pergola::host {

// Where the rows of a split are, and the folders of the files that they name.
struct SplitFiles {
  std::filesystem::path annotations;  // empty: the split has no file of its own
  std::filesystem::path images;
  std::filesystem::path features;
};

struct ImageTextConfig {
  SplitFiles train;
  SplitFiles split;                 // of the split that is read; train's when it is a part of train
  bool of_train = true;             // is it train, or a part of train that is val or test?
  SplitTrain split_train;           // with rows about one image as a group
  std::int64_t image_height = 224;  // 0: all images have the first one's size
  std::int64_t image_width = 224;
  std::int64_t max_features = 100;  // regions of a sample
  std::int64_t feature_dim = 0;     // their width; 0: the first row's
  at::ScalarType feature_type = at::kFloat;
  bool paired = false;           // two images or feature files a row, as img0 and img1
  bool check_rows = true;        // try every row before training
  TypedConfig text_processor;    // from `question`
  TypedConfig answer_processor;  // from `answers` or `label`
  TypedConfig image_processor;   // from `image`, uint8 [3, H, W]

  // Throws Error{kConfig} for a key, type or number that is wrong, a split that does not exist or
  // has no file, and a val or test that has both a file and a part of train.
  [[nodiscard]] static ImageTextConfig parse(const DatasetOptions& options);
};

}  // namespace pergola::host
