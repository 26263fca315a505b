// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/sample_list.h"
#include "unit/sdk/data_error.h"

#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola {
namespace {

using testing::HasSubstr;

const std::vector<at::Tensor>& rows() {
  static const std::vector<at::Tensor> kRows = {torch::ones({2, 3}), torch::zeros({0, 3}),
                                                torch::full({1, 3}, 5.0F)};
  return kRows;
}

TEST(PackedTensorTest, RowsComeBack) {
  const PackedTensor packed = PackedTensor::pack(rows());
  EXPECT_TRUE(packed.offsets.equal(torch::tensor({0, 2, 2, 3}, at::kLong)));
  const std::vector<at::Tensor> back = packed.rows();
  ASSERT_EQ(back.size(), rows().size());
  for (std::size_t i = 0; i < back.size(); ++i) EXPECT_TRUE(back[i].equal(rows()[i]));
  EXPECT_TRUE(back[2].is_alias_of(packed.values));
}

TEST(PackedTensorTest, RowsDifferInDimension0Alone) {
  EXPECT_THAT(data_error([] {
                static_cast<void>(PackedTensor::pack({torch::ones({2, 3}), torch::ones({2, 4})}));
              }),
              HasSubstr("row 1 of a packed tensor is float [2, 4] on cpu and the first one float "
                        "[2, 3] on cpu; they may differ in dimension 0 alone"));
  EXPECT_THAT(
      data_error([] {
        static_cast<void>(PackedTensor::pack({torch::ones({2}), torch::ones({2}, at::kDouble)}));
      }),
      HasSubstr("is double [2]"));
  EXPECT_THAT(data_error([] { static_cast<void>(PackedTensor::pack({torch::tensor(1.0F)})); }),
              HasSubstr("float [] on cpu"));
}

TEST(PackedTensorTest, IsAFieldOfTheBatch) {
  SampleList batch;
  batch.add_field("regions", PackedTensor::pack(rows()));
  EXPECT_EQ(batch.batch_size(), 3);
  EXPECT_EQ(batch.to(at::kCPU).packed("regions").rows().size(), 3U);
  EXPECT_THAT(data_error([&] { batch.add_field("x", torch::ones({4})); }),
              HasSubstr("field 'x' has 4 rows, the batch has 3"));
  EXPECT_THAT(data_error([&] { static_cast<void>(batch.tensor("regions")); }),
              HasSubstr("is not a tensor"));
}

// Two of three rows are of samples.
TEST(PackedTensorTest, RowsBehindTheLastOffsetAreNobodys) {
  SampleList batch;
  batch.add_field("x", PackedTensor{torch::ones({3, 2}), torch::tensor({0, 2}, at::kLong)});
  EXPECT_EQ(batch.batch_size(), 1);
  EXPECT_EQ(batch.packed("x").rows()[0].size(0), 2);
}

TEST(PackedTensorTest, OffsetsThatDoNotFitAreRefused) {
  const at::Tensor values = torch::ones({3, 2});
  for (const at::Tensor& offsets :
       {torch::tensor({0, 4}, at::kLong), torch::tensor({1, 3}, at::kLong),
        torch::tensor({0, 2, 1, 3}, at::kLong)}) {
    SampleList batch;
    EXPECT_THAT(data_error([&] {
                  batch.add_field("x", PackedTensor{values, offsets});
                }),
                HasSubstr("packed with offsets that do not fit 3 rows"));
  }
  for (const at::Tensor& offsets :
       {torch::tensor({0, 3}, at::kInt), torch::tensor({0}, at::kLong), at::Tensor()}) {
    SampleList batch;
    EXPECT_THAT(data_error([&] {
                  batch.add_field("x", PackedTensor{values, offsets});
                }),
                HasSubstr("expected values [rows, ...] and int64 offsets [batch + 1]"));
  }
}

TEST(PackedTensorTest, ARaggedFieldIsCollatedAsItAsks) {
  std::vector<Sample> samples(2);
  samples[0].set("r", RaggedTensor{torch::ones({2, 3}), RaggedTensor::Form::kPacked});
  samples[1].set("r", RaggedTensor{torch::ones({4, 3}), RaggedTensor::Form::kPacked});
  EXPECT_EQ(SampleList::collate(samples).packed("r").values.size(0), 6);
  EXPECT_EQ(samples[0].ragged("r").tensor.size(0), 2);
  samples[1].set("r", RaggedTensor{torch::ones({4, 3}, at::kDouble)});
  EXPECT_THAT(data_error([&] { static_cast<void>(SampleList::collate(samples)); }),
              HasSubstr("field 'r' of sample 1 is double, that of sample 0 is float"));
}

TEST(PackedTensorTest, UndefinedTensorsAreRefusedWhereTheyAreSet) {
  Sample sample;
  EXPECT_THAT(data_error([&] { sample.set("x", at::Tensor()); }),
              HasSubstr("field 'x' is a tensor that is undefined"));
  EXPECT_THAT(data_error([&] { sample.set("r", RaggedTensor{}); }), HasSubstr("undefined"));
  SampleList batch;
  EXPECT_THAT(data_error([&] {
                batch.add_field("list", std::vector<at::Tensor>{torch::ones({1}), at::Tensor()});
              }),
              HasSubstr("field 'list' has an undefined tensor in its list"));
}

// A tensor that two fields share is moved once, so they share the copy too.
TEST(PackedTensorTest, MovingTouchesEachTensorOnce) {
  const at::Tensor shared = torch::ones({3});
  SampleList group;
  group.add_field("again", shared);
  SampleList batch;
  batch.add_field("a", shared);
  batch.add_field("b", shared);
  batch.add_field("group", std::make_shared<const SampleList>(std::move(group)));
  const SampleList moved = batch.to(at::kMeta);
  EXPECT_TRUE(moved.tensor("a").is_same(moved.tensor("b")));
  EXPECT_TRUE(moved.tensor("a").is_same(moved.group("group").tensor("again")));
  EXPECT_TRUE(batch.to(at::kCPU).tensor("a").is_same(shared));  // no copy of what is there
}

}  // namespace
}  // namespace pergola
