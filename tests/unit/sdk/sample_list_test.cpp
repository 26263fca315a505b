// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/sample_list.h"

#include "unit/sdk/data_error.h"

#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Sample sample(at::Tensor image, const std::string& word) {
  Sample result;
  result.set("image", std::move(image));
  result.set("word", word);
  return result;
}

std::string collate_error(std::vector<Sample>& samples) {
  return data_error([&] { static_cast<void>(SampleList::collate(samples)); });
}

TEST(SampleListTest, CollateStacksTensorsAndListsStrings) {
  std::vector<Sample> samples;
  samples.push_back(sample(torch::full({2}, 1.0), "a"));
  samples.push_back(sample(torch::full({2}, 2.0), "b"));
  samples[0].set("number", torch::tensor(5));  // 0-d becomes [B]
  samples[1].set("number", torch::tensor(6));
  const SampleList batch = SampleList::collate(samples);
  EXPECT_EQ(batch.batch_size(), 2);
  EXPECT_TRUE(batch.tensor("image").equal(torch::tensor({{1.0F, 1.0F}, {2.0F, 2.0F}})));
  EXPECT_TRUE(batch.tensor("number").equal(torch::tensor({5, 6})));
  EXPECT_THAT(batch.strings("word"), ElementsAre("a", "b"));
}

TEST(SampleListTest, CollateKeepsRaggedTensorsAndGroups) {
  std::vector<Sample> samples(2);
  for (std::int64_t i = 0; i < 2; ++i) {
    samples[i].set("boxes", RaggedTensor{torch::zeros({i + 1, 4})});
    auto info = std::make_shared<Sample>();
    info->set("max_features", torch::tensor(i));
    samples[i].set("image_info_0", std::shared_ptr<const Sample>(info));
  }
  const SampleList batch = SampleList::collate(samples);
  EXPECT_THAT(batch.tensors("boxes")[1].sizes(), ElementsAre(2, 4));
  EXPECT_TRUE(batch.group("image_info_0").tensor("max_features").equal(torch::tensor({0, 1})));
}

TEST(SampleListTest, CollateRefusesShapesThatDifferInsteadOfBroadcasting) {
  std::vector<Sample> samples;
  samples.push_back(sample(torch::zeros({5, 4}), "a"));
  samples.push_back(sample(torch::zeros({5, 1}), "b"));  // MMF would spread it over 4 columns
  EXPECT_THAT(
      collate_error(samples),
      HasSubstr("field 'image' of sample 1 is float [5, 1], that of sample 0 is float [5, 4]"));
}

TEST(SampleListTest, CollateRefusesFieldsThatMissOrAreAdditional) {
  std::vector<Sample> samples;
  samples.push_back(sample(torch::zeros({1}), "a"));
  samples.push_back(sample(torch::zeros({1}), "b"));
  samples[1].erase("word");
  EXPECT_THAT(collate_error(samples), HasSubstr("sample 1 of the batch has no field 'word'"));
  samples[0].erase("word");
  samples[1].set("extra", std::string("x"));
  EXPECT_THAT(collate_error(samples), HasSubstr("sample 1 of the batch has a field 'extra'"));
}

TEST(SampleListTest, CollateRefusesAnotherKind) {
  std::vector<Sample> samples(2);
  samples[0].set("x", torch::zeros({1}));
  samples[1].set("x", std::string("text"));
  EXPECT_THAT(collate_error(samples), HasSubstr("field 'x' of sample 1 has another kind"));
}

TEST(SampleListTest, EveryWayToAddAFieldChecksTheBatchSize) {
  SampleList batch;
  batch.add_field("a", torch::zeros({3, 2}));
  EXPECT_THROW(batch.add_field("b", torch::zeros({4})), Error);
  EXPECT_THROW(batch.set_field("b", torch::zeros({4})), Error);
  EXPECT_THROW(batch.add_field("b", torch::tensor(1.0)), Error);  // 0-d
  EXPECT_THROW(batch.add_field("b", at::Tensor()), Error);
  EXPECT_THROW(batch.add_field("a", torch::zeros({3})), Error);  // taken
  EXPECT_THROW(batch.add_field("b", Strings{"x"}), Error);
  batch.set_field("a", torch::zeros({5}));  // alone, it may change the size
  EXPECT_EQ(batch.batch_size(), 5);
}

TEST(SampleListTest, MissingFieldListsWhatThereIs) {
  SampleList batch;
  batch.add_field("image", torch::zeros({1}));
  batch.add_field("text", Strings{"x"});
  try {
    static_cast<void>(batch.tensor("imag"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "field 'imag' is not in the batch; it has: image, text; check the data "
                 "set's processors");
  }
  EXPECT_THROW(static_cast<void>(batch.tensor("text")), Error);
}

TEST(SampleListTest, GetFieldsKeepsTheDataSetAndSharesTensors) {
  SampleList batch;
  batch.add_field("a", torch::zeros({2}));
  batch.add_field("b", torch::zeros({2}));
  batch.set_dataset("easy_vqa", "val");
  const SampleList part = batch.get_fields({"a"});
  EXPECT_THAT(part.fields(), ElementsAre("a"));
  EXPECT_EQ(part.dataset_name() + "/" + part.dataset_type(), "easy_vqa/val");
  EXPECT_EQ(part.tensor("a").data_ptr(), batch.tensor("a").data_ptr());
  EXPECT_THROW(static_cast<void>(batch.get_fields({"c"})), Error);
}

TEST(SampleListTest, ToMovesEveryTensorAndKeepsTheRest) {
  SampleList inner;
  inner.add_field("max_features", torch::zeros({2}));
  SampleList batch;
  batch.add_field("a", torch::zeros({2}));
  batch.add_field("list", std::vector<at::Tensor>{torch::zeros({1}), torch::zeros({3})});
  batch.add_field("info", std::make_shared<const SampleList>(std::move(inner)));
  batch.add_field("word", Strings{"x", "y"});
  batch.set_dataset("d", "test");
  const SampleList moved = batch.to(at::kMeta);
  EXPECT_TRUE(moved.tensor("a").is_meta());
  EXPECT_TRUE(moved.tensors("list")[1].is_meta());
  EXPECT_TRUE(moved.group("info").tensor("max_features").is_meta());
  EXPECT_THAT(moved.strings("word"), ElementsAre("x", "y"));
  EXPECT_EQ(moved.dataset_type(), "test");
  EXPECT_FALSE(batch.tensor("a").is_meta());
}

TEST(SampleListTest, CollateKeepsListsOfStrings) {
  std::vector<Sample> samples(2);
  samples[0].set("answers", Strings{"red", "blue"});
  samples[1].set("answers", Strings{});
  const SampleList batch = SampleList::collate(samples);
  EXPECT_THAT(batch.string_lists("answers"), ElementsAre(Strings{"red", "blue"}, Strings{}));
  EXPECT_THAT(batch.to(at::kMeta).string_lists("answers")[0], ElementsAre("red", "blue"));
}

// Long strings, which live where they are: a copy would be elsewhere.
TEST(SampleListTest, ABatchThatIsGivenAwayTakesItsStringsAlong) {
  const Strings answers = {std::string(100, 'a'), std::string(100, 'b')};
  SampleList batch;
  batch.add_field("question", answers);
  batch.add_field("answers", std::vector<Strings>{answers, answers});
  const char* const question = batch.strings("question")[0].data();
  const char* const answer = batch.string_lists("answers")[1][1].data();
  const SampleList copy = batch.to(at::kMeta);
  EXPECT_NE(copy.strings("question")[0].data(), question);
  const SampleList moved = std::move(batch).to(at::kMeta);
  EXPECT_EQ(moved.strings("question")[0].data(), question);
  EXPECT_EQ(moved.string_lists("answers")[1][1].data(), answer);
}

TEST(SampleListTest, CollateRefusesAnotherKindThanListsOfStrings) {
  std::vector<Sample> samples(2);
  samples[0].set("answers", Strings{"red"});
  samples[1].set("answers", std::string("red"));
  EXPECT_THAT(collate_error(samples), HasSubstr("field 'answers' of sample 1 has another kind"));
}

// Nothing here is on the CPU, so that no page has to be locked, which needs CUDA.
TEST(SampleListTest, PinningLeavesWhatIsNotOnTheCpuAsItIs) {
  SampleList batch;
  batch.add_field("a", torch::zeros({2}, at::kMeta));
  batch.add_field("answers", std::vector<Strings>{{"x"}, {"y"}});
  batch.set_dataset("d", "val");
  const SampleList pinned = batch.pin_memory();
  EXPECT_TRUE(pinned.tensor("a").is_same(batch.tensor("a")));
  EXPECT_THAT(pinned.string_lists("answers")[1], ElementsAre("y"));
  EXPECT_EQ(pinned.batch_size(), 2);
  EXPECT_EQ(pinned.dataset_type(), "val");
}

TEST(SampleListTest, EveryTensorIsVisitedWhereverItIs) {
  SampleList group;
  group.add_field("c", torch::full({1}, 16));
  SampleList batch;
  batch.add_field("a", torch::full({1}, 1));
  batch.add_field("b", std::vector<at::Tensor>{torch::full({1}, 2)});
  batch.add_field("group", std::make_shared<const SampleList>(std::move(group)));
  batch.add_field("packed", PackedTensor::pack({torch::full({1}, 8)}));  // offsets 0 and 1
  batch.add_field("words", Strings{"x"});
  std::int64_t sum = 0;
  batch.for_each_tensor([&](const at::Tensor& x) { sum += x.sum().item<std::int64_t>(); });
  EXPECT_EQ(sum, 1 + 2 + 16 + 8 + 1);
}

TEST(SampleListTest, AGroupThatIsNullIsRefusedWhereItIsSet) {
  Sample one;
  EXPECT_EQ(data_error([&] { one.set("image_info_0", std::shared_ptr<const Sample>()); }),
            "field 'image_info_0' is a group that is null; set it to a Sample, or leave it out");
  EXPECT_FALSE(one.has("image_info_0"));
  SampleList batch;
  for (const auto add : {&SampleList::add_field, &SampleList::set_field}) {
    EXPECT_EQ(data_error([&] { (batch.*add)("info", std::shared_ptr<const SampleList>()); }),
              "field 'info' is a group that is null; a batch's group has at least one field, or is "
              "left out");
  }
}

TEST(SampleListTest, AGroupWithoutFieldsIsNamed) {
  std::vector<Sample> samples(1);
  samples[0].set("image_info_0", std::make_shared<const Sample>());
  EXPECT_EQ(collate_error(samples),
            "field 'image_info_0' is a group without fields; a batch's group has at least one "
            "field, or is left out");
}

TEST(SampleListTest, AnEmptyBatchHasNoSize) {
  EXPECT_THROW(static_cast<void>(SampleList().batch_size()), Error);
}

}  // namespace
}  // namespace pergola
