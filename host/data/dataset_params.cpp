// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/dataset_params.h"

#include "host/data/defaults.h"
#include "pergola/error.h"

#include <utility>

namespace pergola::host {
namespace {

constexpr double kMostSide = 8'000;       // as image_text_config.cpp
constexpr double kMostRegions = 1 << 12;  // as npy.h
constexpr double kMostWidth = 1 << 16;    // likewise

// The keys of one table, whose defaults they have.
class ParamList {
 public:
  explicit ParamList(const Value& defaults) : defaults_(defaults) {}

  ParamSpec& add(const char* name, std::string meaning) {
    ConfigParam& param = params_.emplace_back();
    param.spec.name = name;
    param.spec.fallback = defaults_.as_table().at(name);
    param.spec.type = param.spec.fallback.type();
    param.spec.meaning = std::move(meaning);
    return param.spec;
  }
  void add(const char* name, std::string meaning, double low, double high) {
    ParamSpec& spec = add(name, std::move(meaning));
    spec.low = low;
    spec.high = high;
  }
  // A table, whose members are those of `within`.
  void add(const char* name, std::string meaning, ParamList within) {
    static_cast<void>(add(name, std::move(meaning)));
    params_.back().members = std::move(within.params_);
  }
  [[nodiscard]] ParamList within(const char* name) const {
    return ParamList(defaults_.as_table().at(name));
  }
  [[nodiscard]] ConfigParams take() { return std::move(params_); }

 private:
  const Value& defaults_;
  ConfigParams params_;
};

void add_data_dir(ParamList& params, const std::string& name, const char* content) {
  params.add("data_dir", concat("the folder ", content, "; empty: env.data_dir/", name));
}

void add_split_train(ParamList& params, const char* meaning) {
  ParamList within = params.within("split_train");
  within.add("val", "the part that is set aside for val", 0, 1);
  within.add("test", "the part that is set aside for test", 0, 1);
  within.add("seed", "of the draw").low = 0;
  params.add("split_train", meaning, std::move(within));
}

void add_processors(ParamList& params) {
  ParamList within = params.within("processors");
  for (const auto& [name, meaning] : {std::pair("text_processor", "makes numbers of the text"),
                                      std::pair("answer_processor", "makes targets of the answers"),
                                      std::pair("image_processor", "makes tensors of images")}) {
    // The registry checks the params, which are those of whatever processor is named.
    within.add(name, meaning).type = Value::Type::kNull;
  }
  params.add("processors", "text_processor, answer_processor and image_processor",
             std::move(within));
}

void add_splits(ParamList& params, const char* name, const char* meaning) {
  ParamList within = params.within(name);
  for (const char* split : {"train", "val", "test"}) within.add(split, "");
  params.add(name, meaning, std::move(within));
}

ConfigParams easy_vqa_params(const Value& defaults) {
  ParamList params(defaults);
  add_data_dir(params, "easy_vqa", "with train/, test/ and answers.txt");
  add_split_train(params,
                  "the parts of train's images that are set aside for val and, in place of the "
                  "folder test/, for test, and their seed");
  add_processors(params);
  return params.take();
}

ConfigParams image_text_params(const Value& defaults) {
  ParamList params(defaults);
  add_data_dir(params, "image_text", "of all");
  add_splits(params, "annotations", "the JSON Lines file of each split, in data_dir");
  add_splits(params, "images", "for each split the folder of the paths in `image`, in data_dir");
  add_splits(params, "features", "likewise of the paths in `features`");
  add_split_train(params,
                  "the parts of train that are set aside for val and test, and their seed; "
                  "annotations.val or .test is \"\" then");
  params.add("image_size", "[height, width] that images are resized to; []: they stay", 1,
             kMostSide);
  params.add("max_features", "regions of a sample; fewer are filled up with zeros, more cut", 1,
             kMostRegions);
  params.add("feature_dim", "the width that features must have; 0: that of the first row", 0,
             kMostWidth);
  params
      .add("feature_dtype",
           "what features are copied to the device as: bfloat16 where training.precision is bf16, "
           "and float16 where it is fp16, take half as long")
      .choices = {"float32", "float16", "bfloat16"};
  params.add("paired", "two images or feature files a row, as groups img0 and img1");
  params.add("check_rows", "look for all files, and try all texts and answers, before training");
  add_processors(params);
  return params.take();
}

}  // namespace

ConfigParams host_dataset_params(const std::string& name) {
  const std::optional<Value> defaults = host_dataset_defaults(name);
  PERGOLA_ASSERT(defaults.has_value());
  return name == kHostDatasets[0] ? easy_vqa_params(*defaults) : image_text_params(*defaults);
}

}  // namespace pergola::host
