// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/batch_tensors.h"

#include "pergola/error.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>

namespace pergola::host {
namespace {

using testing::ElementsAre;

SampleList batch_of(std::int64_t size, double value) {
  SampleList group;
  group.add_field("boxes", at::full({size, 4}, value));
  group.add_field("names", Strings(static_cast<std::size_t>(size), "a"));
  SampleList batch;
  batch.add_field("image", at::full({size, 3, 2}, value));
  batch.add_field("info", std::make_shared<const SampleList>(std::move(group)));
  batch.add_field("question", Strings(static_cast<std::size_t>(size), "why?"));
  batch.add_field("targets", at::full({size}, 1, at::kLong));
  batch.add_field("words", PackedTensor::pack(std::vector<at::Tensor>(
                               static_cast<std::size_t>(size), at::full({2}, value))));
  batch.set_dataset("vqa", "train");
  return batch;
}

class BatchTensorsTest : public testing::Test {
 protected:
  BatchReader reader_;
  BatchMemory memory_;
};

TEST_F(BatchTensorsTest, BatchesAreAlikeThatDifferInNumbersAlone) {
  const BatchTensors two = reader_.read(batch_of(2, 1));
  EXPECT_EQ(two.tensors.size(), 5U);  // image, boxes, targets, and two of the words
  EXPECT_TRUE(two.is_like(reader_.read(batch_of(2, 5))));
  EXPECT_FALSE(two.is_like(reader_.read(batch_of(3, 1))));
  SampleList other = batch_of(2, 1);
  other.set_dataset("other", "train");
  EXPECT_FALSE(two.is_like(reader_.read(other)));
  SampleList wide = batch_of(2, 1);
  wide.set_field("targets", at::ones({2}, at::kInt));
  EXPECT_FALSE(two.is_like(reader_.read(wide)));
  SampleList longer = batch_of(2, 1);
  longer.add_field("more", Strings(2));
  EXPECT_FALSE(two.is_like(reader_.read(longer)));
}

// Collation makes a list of tensors that are not of one shape.
TEST_F(BatchTensorsTest, AFieldMayBeOfAnotherKindInTheNextBatch) {
  const BatchTensors stacked = reader_.read(batch_of(2, 1));
  SampleList list = batch_of(2, 1);
  list.set_field("image", std::vector<at::Tensor>{at::ones({1}), at::ones({2})});
  const BatchTensors ragged = reader_.read(list);
  EXPECT_FALSE(stacked.is_like(ragged));
  EXPECT_EQ(stacked.problem(c10::kCPU), "");
  EXPECT_EQ(ragged.problem(c10::kCPU), "its field 'image' is a list of tensors");
  EXPECT_TRUE(stacked.is_like(reader_.read(batch_of(2, 1))));
}

TEST_F(BatchTensorsTest, TensorsElsewhereOrWithGapsAreAProblem) {
  SampleList batch = batch_of(2, 1);
  const BatchTensors here = reader_.read(batch);
  EXPECT_EQ(here.problem(c10::Device(c10::kMeta)), "one of its tensors is on cpu, not on meta");
  batch.set_field("targets", at::ones({2, 4}).slice(1, 0, 2));
  EXPECT_EQ(reader_.read(batch).problem(c10::kCPU), "one of its tensors has gaps");
  batch.set_field("targets", at::_neg_view(at::ones({2, 2})));  // whose memory has other numbers
  EXPECT_EQ(reader_.read(batch).problem(c10::kCPU), "one of its tensors is conjugated or negated");
  EXPECT_FALSE(reader_.read(batch).is_like(here));
}

TEST_F(BatchTensorsTest, ABatchInTheMemoryIsTheSameWithoutStrings) {
  BatchTensors first = reader_.read(batch_of(2, 1));
  const SampleList placed = memory_.place(first);
  EXPECT_THAT(placed.fields(), ElementsAre("image", "info", "targets", "words"));
  EXPECT_THAT(placed.group("info").fields(), ElementsAre("boxes"));
  EXPECT_EQ(placed.dataset_name(), "vqa");
  EXPECT_EQ(placed.dataset_type(), "train");
  EXPECT_TRUE(placed.tensor("image").equal(at::ones({2, 3, 2})));
  copy_tensors(reader_.read(batch_of(2, 7)).tensors, first.tensors);
  EXPECT_TRUE(placed.tensor("image").equal(at::full({2, 3, 2}, 7.0)));
  EXPECT_TRUE(placed.group("info").tensor("boxes").equal(at::full({2, 4}, 7.0)));
  EXPECT_TRUE(placed.packed("words").values.equal(at::full({4}, 7.0)));
}

// One runs at a time, so a smaller one needs no memory of its own.
TEST_F(BatchTensorsTest, BatchesOfOtherShapesShareTheMemory) {
  BatchTensors large = reader_.read(batch_of(5, 1));
  BatchTensors small = reader_.read(batch_of(2, 1));
  const SampleList first = memory_.place(large);
  const SampleList second = memory_.place(small);
  EXPECT_EQ(first.tensor("image").data_ptr(), second.tensor("image").data_ptr());
  EXPECT_TRUE(small.is_like(reader_.read(batch_of(2, 3))));
}

}  // namespace
}  // namespace pergola::host
