// SPDX-License-Identifier: BSD-3-Clause
// The parts of train that are val and test (MMF.md §7.4), with the numbers of MMF's own test: of
// 100 samples 0.2 are val and 0.1 test, with seed 42.
#include "host/data/dataset_parts.h"
#include "host/data/defaults.h"
#include "unit/data/fixture.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

namespace pergola::host {
namespace {

using test::data_registry;
using test::error_of;
using test::TempFolder;
using test::write_easy_vqa;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

using Rows = std::vector<std::int64_t>;

constexpr const char* kSplits[] = {"train", "val", "test"};
constexpr SplitTrain kMmfParts = {.val = 0.2, .test = 0.1, .seed = 42};

// Each row is a group of its own.
Rows single_rows(std::int64_t count) {
  Rows rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

// The rows of all splits, sorted: each once if none is in two splits, and each is in one.
Rows all_rows(const SplitTrain& parts, const Rows& groups) {
  Rows all;
  for (const char* split : kSplits) {
    const Rows rows = parts.rows_of(split, groups);
    all.insert(all.end(), rows.begin(), rows.end());
  }
  std::sort(all.begin(), all.end());
  return all;
}

TEST(SplitTrainTest, OfAHundredRowsSeventyAreTrainTwentyValAndTenTest) {
  const Rows groups = single_rows(100);
  EXPECT_EQ(kMmfParts.rows_of("train", groups).size(), 70U);
  EXPECT_EQ(kMmfParts.rows_of("val", groups).size(), 20U);
  EXPECT_EQ(kMmfParts.rows_of("test", groups).size(), 10U);
  EXPECT_EQ(all_rows(kMmfParts, groups), groups);
}

TEST(SplitTrainTest, PartsAreAFunctionOfTheSeed) {
  const Rows groups = single_rows(100);
  SplitTrain other = kMmfParts;
  other.seed = 43;
  for (const char* split : kSplits) {
    const Rows rows = kMmfParts.rows_of(split, groups);
    EXPECT_EQ(SplitTrain(kMmfParts).rows_of(split, groups), rows);
    EXPECT_NE(other.rows_of(split, groups), rows);
    EXPECT_TRUE(std::is_sorted(rows.begin(), rows.end()));
  }
}

// Val is first in the seed's order, so that test takes from train alone.
TEST(SplitTrainTest, ValIsTheSameWithAndWithoutTest) {
  const Rows groups = single_rows(100);
  SplitTrain without = kMmfParts;
  without.test = 0;
  EXPECT_EQ(without.rows_of("val", groups), kMmfParts.rows_of("val", groups));
  EXPECT_EQ(without.rows_of("train", groups).size(), 80U);
  EXPECT_THAT(without.rows_of("test", groups), ElementsAre());
}

TEST(SplitTrainTest, EachRowIsInOneSplitWhateverTheNumbersAre) {
  for (std::int64_t count = 1; count <= 40; ++count) {
    const Rows groups = single_rows(count);
    for (const double val : {0.0, 0.1, 1.0 / 3, 0.5}) {
      for (const double test : {0.0, 0.05, 1.0 / 3, 0.49}) {
        EXPECT_EQ(all_rows({.val = val, .test = test, .seed = 7}, groups), groups)
            << count << " " << val << " " << test;
      }
    }
  }
}

// Ten images with ten rows each: 7, 2 and 1 of them.
TEST(SplitTrainTest, RowsOfAGroupStayTogether) {
  Rows groups = single_rows(100);
  for (std::int64_t& group : groups) group %= 10;
  std::map<std::int64_t, std::set<std::string>> splits;
  for (const char* split : kSplits) {
    for (const std::int64_t row : kMmfParts.rows_of(split, groups)) {
      splits[groups[static_cast<std::size_t>(row)]].insert(split);
    }
  }
  for (const auto& [group, names] : splits) EXPECT_EQ(names.size(), 1U) << group;
  EXPECT_EQ(kMmfParts.rows_of("test", groups).size(), 10U);
  EXPECT_EQ(all_rows(kMmfParts, groups), single_rows(100));
}

TEST(SplitTrainTest, WhatDoesNotFitIsRefused) {
  const auto refused = [](Value::Table table) {
    const Config config(std::move(table), "split_train");
    return error_of(ErrorKind::kConfig,
                    [&] { static_cast<void>(SplitTrain::parse(config, {.val = 0.1})); });
  };
  EXPECT_EQ(
      refused({{"val", 0.5}, {"test", 0.5}}),
      "split_train.test = 0.5 leaves nothing to train on, since split_train.val = 0.5; choose "
      "two numbers whose sum is below 1");
  EXPECT_THAT(refused({{"test", 0.9}}), HasSubstr("since split_train.val = 0.1; choose"));
  EXPECT_THAT(refused({{"test", -0.1}}), HasSubstr("split_train.test = -0.1 is out of range"));
  EXPECT_THAT(refused({{"tset", 0.1}}),
              AllOf(HasSubstr("split_train.tset is not a known key"), HasSubstr("'test'")));
}

// A hundred images, in easy_vqa with two questions each.
class SplitDatasetTest : public testing::TestWithParam<const char*> {
 protected:
  SplitDatasetTest() {
    if (name_ == "easy_vqa") {
      write_easy_vqa(folder_, 100);
    } else {
      write_image_text();
    }
    config_["data_dir"] = folder_.path().string();
    divide(0.2, 0.1);
    config_["split_train"]["seed"] = 42;
  }
  void divide(double val, double test) {
    config_["split_train"]["val"] = val;
    config_["split_train"]["test"] = test;
  }
  [[nodiscard]] std::unique_ptr<Dataset> open(const std::string& split) const {
    const DatasetOptions options{name_, split, Config(config_, "dataset_config." + name_), "unused",
                                 registry_};
    return registry_.make_dataset(options);
  }
  [[nodiscard]] std::string error(const std::string& split) const {
    return error_of(ErrorKind::kConfig, [&] { static_cast<void>(open(split)); });
  }
  // The numbers of the images of its samples, which the colours say.
  static std::set<int> images(const Dataset& dataset) {
    std::set<int> numbers;
    for (std::int64_t i = 0; i < dataset.size(); ++i) {
      Rng rng(0);
      const at::Tensor image_3HW = dataset.get(i, rng).tensor("image");
      numbers.insert(
          static_cast<int>(std::lround((image_3HW[0][0][0].item<double>() + 1) * 127.5)));
      EXPECT_EQ(image_3HW[1][0][0].item<double>(), -1) << "it is green, as images of test/ are";
    }
    return numbers;
  }

  const std::string name_ = GetParam();
  const int rows_of_an_image_ = name_ == "easy_vqa" ? 2 : 1;
  TempFolder folder_;
  Value config_ = host_dataset_defaults(name_).value();
  Registry registry_ = data_registry();

 private:
  void write_image_text() {
    std::string rows;
    for (int i = 0; i < 100; ++i) {
      folder_.write(concat(i, ".png"), test::png_of(4, 4, {static_cast<std::uint8_t>(i), 0, 0}));
      rows += concat(R"({"text": "a", "image": ")", i, R"(.png", "label": )", i % 2, "}\n");
    }
    folder_.write("train.jsonl", rows);
    config_["annotations"]["val"] = "";
    config_["annotations"]["test"] = "";
    config_["image_size"] = Value::Array{4, 4};
  }
};
INSTANTIATE_TEST_SUITE_P(Datasets, SplitDatasetTest, testing::ValuesIn(kHostDatasets),
                         [](const auto& name) { return std::string(name.param); });

TEST_P(SplitDatasetTest, OfAHundredImagesSeventyAreTrainTwentyValAndTenTest) {
  std::set<int> all;
  std::vector<std::int64_t> sizes;
  for (const char* split : kSplits) {
    const auto dataset = open(split);
    sizes.push_back(dataset->size() / rows_of_an_image_);
    for (const int image : images(*dataset)) EXPECT_TRUE(all.insert(image).second) << image;
    EXPECT_EQ(dataset->facts(), open("train")->facts());
  }
  EXPECT_THAT(sizes, ElementsAre(70, 20, 10));
  EXPECT_EQ(all.size(), 100U);
}

TEST_P(SplitDatasetTest, TestIsTheSameEachTimeAndValWithoutIt) {
  const std::set<int> test = images(*open("test"));
  const std::set<int> val = images(*open("val"));
  EXPECT_EQ(images(*open("test")), test);
  config_["split_train"]["test"] = 0;
  EXPECT_EQ(images(*open("val")), val);
}

TEST_P(SplitDatasetTest, APartThatIsEmptyIsRefusedWithBothNumbers) {
  divide(0.2, 0.001);
  EXPECT_THAT(error("test"),
              AllOf(HasSubstr("split 'test' of data set '" + name_ + "' is empty, since "),
                    HasSubstr(".split_train.val = 0.2 and dataset_config." + name_ +
                              ".split_train.test = 0.001 of " + folder_.path().string()),
                    HasSubstr("; choose values between 0 and 1 that leave "),
                    HasSubstr(" for train, val and test")));
  divide(0.5, 0.5);
  for (const char* split : kSplits) {
    EXPECT_THAT(error(split),
                HasSubstr(".split_train.test = 0.5 leaves nothing to train on, since "));
  }
}

class SplitEasyVqaTest : public SplitDatasetTest {};
INSTANTIATE_TEST_SUITE_P(EasyVqa, SplitEasyVqaTest, testing::Values("easy_vqa"));

TEST_P(SplitEasyVqaTest, TheFolderTestIsNotNeededThen) {
  std::filesystem::remove_all(folder_.path() / "test");
  EXPECT_EQ(open("test")->size(), 20);
}

class SplitImageTextTest : public SplitDatasetTest {};
INSTANTIATE_TEST_SUITE_P(ImageText, SplitImageTextTest, testing::Values("image_text"));

TEST_P(SplitImageTextTest, TestIsAFileOrAPartOfTrain) {
  config_["annotations"]["test"] = "test.jsonl";
  EXPECT_EQ(
      error("train"),
      "dataset_config.image_text.split_train.test = 0.1 sets a part of train aside for test, "
      "which has a file of its own; set it to 0, or dataset_config.image_text.annotations.test "
      "= \"\"");
  config_["annotations"]["test"] = "";
  divide(0.2, 0);
  EXPECT_EQ(error("test"),
            "dataset_config.image_text.annotations.test = \"\" names no file, and nothing of train "
            "is set aside for test; name a file, or set dataset_config.image_text.split_train.test "
            "= 0.1");
}

}  // namespace
}  // namespace pergola::host
