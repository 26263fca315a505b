// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/report.h"

#include "unit/sdk/data_error.h"

#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Rows first .. first + count: one field of each kind, scores, a further output and a loss.
Report report(int first, int count) {
  SampleList batch;
  const at::Tensor numbers = torch::arange(first, first + count);
  std::vector<at::Tensor> ragged;
  Strings words;
  std::vector<Strings> lists;
  for (int i = first; i < first + count; ++i) {
    ragged.push_back(torch::full({i % 3, 2}, i));
    words.push_back(concat("w", i));
    lists.push_back({concat("a", i), concat("b", i)});
  }
  SampleList group;
  group.add_field("n", numbers);
  batch.add_field("numbers", numbers);
  batch.add_field("packed", PackedTensor::pack(ragged));
  batch.add_field("ragged", std::move(ragged));
  batch.add_field("words", std::move(words));
  batch.add_field("lists", std::move(lists));
  batch.add_field("group", std::make_shared<const SampleList>(std::move(group)));
  batch.set_dataset("d", "val");
  ModelOutput output{.scores = torch::full({count, 2}, 1.0 * first, torch::requires_grad())};
  output.fields["extra"] = torch::arange(first, first + count) * 2;
  output.losses = LossMap{{"val/d/l", torch::full({count}, 1.5)}};  // one value a sample
  return {std::move(batch), std::move(output)};
}

TEST(ReportTest, TheModelsOutputComesBeforeTheBatch) {
  Report both = report(0, 2);
  both.output.fields["numbers"] = torch::zeros({2});
  EXPECT_TRUE(both.tensor("numbers").equal(torch::zeros({2})));
  EXPECT_EQ(both.tensor("scores").size(1), 2);
  EXPECT_EQ(both.batch_size(), 2);
  EXPECT_EQ(data_error([&] { static_cast<void>(both.tensor("numbrs")); }),
            "'numbrs' is in neither the batch nor the model's output; did you mean 'numbers'?");
}

TEST(ReportTest, MovingDetaches) {
  const Report moved = report(0, 2).to(at::kCPU);
  EXPECT_FALSE(moved.output.scores.requires_grad());
  EXPECT_EQ(moved.batch.dataset_name(), "d");
  EXPECT_EQ(moved.output.losses->size(), 1U);
}

TEST(ReportTest, ConcatHasAllRowsOfTheFieldsAndTheSumOfTheLosses) {
  std::vector<Report> reports;
  reports.push_back(report(0, 2));
  reports.push_back(report(2, 3));
  const Report all = Report::concat(
      reports, {"scores", "extra", "numbers", "packed", "ragged", "words", "lists", "group"});
  EXPECT_EQ(all.batch_size(), 5);
  EXPECT_EQ(all.batch.dataset_type(), "val");
  EXPECT_EQ(all.output.scores.size(0), 5);
  EXPECT_TRUE(all.tensor("extra").equal(torch::arange(5) * 2));
  EXPECT_TRUE(all.tensor("numbers").equal(torch::arange(5)));
  EXPECT_TRUE(all.batch.group("group").tensor("n").equal(torch::arange(5)));
  EXPECT_THAT(all.batch.strings("words"), ElementsAre("w0", "w1", "w2", "w3", "w4"));
  EXPECT_THAT(all.batch.string_lists("lists")[4], ElementsAre("a4", "b4"));
  const std::vector<at::Tensor> rows = all.batch.packed("packed").rows();
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(rows[i].equal(torch::full({i % 3, 2}, i))) << i;
    EXPECT_TRUE(all.batch.tensors("ragged")[i].equal(rows[i]));
  }
  EXPECT_EQ(all.output.losses->at("val/d/l").item<float>(), 3);
}

TEST(ReportTest, ConcatOfOtherShapesOrFieldsIsAnError) {
  std::vector<Report> reports;
  reports.push_back(report(0, 2));
  reports.push_back(report(2, 3));
  reports[1].output.scores = torch::zeros({3, 4});
  EXPECT_THAT(
      data_error([&] {
        static_cast<void>(Report::concat(reports, {"scores", "numbers"}));
      }),
      HasSubstr("'scores' of report 1 is float [3, 4], and that of the first one float [2, 2]"));
  EXPECT_THAT(data_error([&] { static_cast<void>(Report::concat(reports, {"nothing"})); }),
              HasSubstr("field 'nothing' is not in the batch"));
}

}  // namespace
}  // namespace pergola
