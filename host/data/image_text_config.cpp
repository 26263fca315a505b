// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/image_text_config.h"

#include "host/data/dataset_parts.h"
#include "host/data/npy.h"
#include "pergola/error.h"

#include <vector>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

SplitFiles files_of(const Config& config, const std::string& split, const fs::path& data_dir) {
  const auto named = [&](const char* key) {
    return config.table(key).get<std::string>(split, std::string());
  };
  SplitFiles files;
  const std::string annotations = named("annotations");
  if (!annotations.empty()) files.annotations = data_dir / annotations;
  files.images = data_dir / named("images");
  files.features = data_dir / named("features");
  return files;
}

void parse_image_size(const Config& config, ImageTextConfig& result) {
  const auto size = config.get<std::vector<std::int64_t>>(
      "image_size", {result.image_height, result.image_width});
  constexpr std::int64_t kMostSide = 8'000;
  const bool in_bounds = size.size() == 2 && size[0] > 0 && size[1] > 0 && size[0] <= kMostSide &&
                         size[1] <= kMostSide;
  if (!size.empty() && !in_bounds) {
    throw config.error("image_size", concat("must be [height, width], each from 1 to ", kMostSide,
                                            ", or [], which leaves images as they are"));
  }
  result.image_height = size.empty() ? 0 : size[0];
  result.image_width = size.empty() ? 0 : size[1];
}

at::ScalarType parse_feature_type(const Config& config) {
  const std::string name =
      config.get_choice("feature_dtype", "float32", {"float32", "float16", "bfloat16"});
  return name == "float32" ? at::kFloat : name == "float16" ? at::kHalf : at::kBFloat16;
}

void choose_split(const DatasetOptions& options, const fs::path& data_dir,
                  ImageTextConfig& result) {
  const Config& config = options.config;
  result.train = files_of(config, "train", data_dir);
  result.split = files_of(config, options.type, data_dir);
  for (const std::string split : {"val", "test"}) {
    const bool has_file = !files_of(config, split, data_dir).annotations.empty();
    if (!has_file || !result.split_train.has(split)) continue;
    throw config.error("split_train." + split,
                       concat("sets a part of train aside for ", split,
                              ", which has a file of its own; set it to 0, or ", config.path(),
                              ".annotations.", split, " = \"\""));
  }
  result.of_train = result.split_train.has(options.type);
  if (result.of_train) result.split = result.train;
  if (result.train.annotations.empty()) {
    throw config.table("annotations")
        .error("train", "must name a file: words and answers are learnt from it");
  }
  if (result.split.annotations.empty()) {
    throw config.table("annotations")
        .error(options.type, concat("names no file, and nothing of train is set aside for ",
                                    options.type, "; name a file, or set ", config.path(),
                                    ".split_train.", options.type, " = 0.1"));
  }
}

}  // namespace

ImageTextConfig ImageTextConfig::parse(const DatasetOptions& options) {
  expect_known_split(options);
  const Config& config = options.config;
  config.allow_only({"data_dir", "annotations", "images", "features", "split_train", "image_size",
                     "max_features", "feature_dim", "feature_dtype", "paired", "check_rows",
                     "processors"});
  for (const char* key : {"annotations", "images", "features"}) {
    config.table(key).allow_only({"train", "val", "test"});
  }
  ImageTextConfig result;
  fs::path data_dir = config.get<std::string>("data_dir", "");
  if (data_dir.empty()) data_dir = options.data_dir / options.name;
  result.split_train = SplitTrain::parse(config.table("split_train"), result.split_train);
  if (options.state == nullptr) choose_split(options, data_dir, result);  // else nothing is read
  parse_image_size(config, result);
  result.max_features = config.get_integer("max_features", result.max_features, 1, kMostRegions);
  result.feature_dim = config.get_integer("feature_dim", result.feature_dim, 0, kMostWidth);
  result.feature_type = parse_feature_type(config);
  result.paired = config.get<bool>("paired", result.paired);
  result.check_rows = config.get<bool>("check_rows", result.check_rows);
  const Config processors = config.table("processors");
  processors.allow_only({kTextProcessorKey, kAnswerProcessorKey, kImageProcessorKey});
  result.text_processor = processor_in(processors, kTextProcessorKey, data_dir);
  result.answer_processor = processor_in(processors, kAnswerProcessorKey, data_dir);
  result.image_processor = processor_in(processors, kImageProcessorKey, data_dir);
  return result;
}

}  // namespace pergola::host
