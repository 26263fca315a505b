// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/saved_batch.h"

#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

using ::testing::ElementsAre;

SampleList batch_of_all_kinds() {
  auto info = std::make_shared<SampleList>();
  info->add_field("boxes", torch::ones({2, 4}));
  info->add_field("file", Strings{"a.npy", "b.npy"});
  SampleList batch;
  batch.add_field("image", torch::zeros({2, 3}));
  batch.add_field("regions", std::vector<at::Tensor>{torch::ones({1, 2}), torch::ones({5, 2})});
  batch.add_field("words", PackedTensor::pack({torch::ones({3}), torch::ones({1})}));
  batch.add_field("question_id", Strings{"7", "8"});
  batch.add_field("answers", std::vector<Strings>{{"yes", "no"}, {}});
  batch.add_field("image_info_0", std::shared_ptr<const SampleList>(std::move(info)));
  return batch;
}

TEST(SavedBatchTest, TensorsOfEveryKindOfFieldHaveANameOfTheirOwn) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_of(batch_of_all_kinds())) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("image", "image_info_0.boxes", "regions.0", "regions.1",
                                 "words.values", "words.offsets"));
}

TEST(SavedBatchTest, StringsHaveTheSameNames) {
  EXPECT_EQ(strings_of(batch_of_all_kinds()),
            Value(Value::Table{{"answers", Value::Array{Value::Array{"yes", "no"}, Value::Array{}}},
                               {"image_info_0.file", Value::Array{"a.npy", "b.npy"}},
                               {"question_id", Value::Array{"7", "8"}}}));
}

}  // namespace
}  // namespace pergola::host
