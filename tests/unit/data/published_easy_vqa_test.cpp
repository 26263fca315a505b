// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/defaults.h"
#include "host/data/easy_vqa.h"
#include "host/data/loader.h"
#include "unit/data/fixture.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>

namespace pergola::host {
namespace {

// The published data set, where tools/setup has put it.
class PublishedEasyVqaTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto variable = [](const char* name) {
      const char* value = std::getenv(name);
      return std::filesystem::path(value == nullptr ? "" : value);
    };
    data_dir_ = variable("PERGOLA_DATA_DIR");
    if (data_dir_.empty()) {
      const auto cache = variable("XDG_CACHE_HOME");
      data_dir_ = (cache.empty() ? variable("HOME") / ".cache" : cache) / "pergola/data";
    }
    if (!std::filesystem::is_directory(data_dir_ / "easy_vqa")) {
      GTEST_SKIP() << "the data set is not in " << data_dir_ << "; run tools/setup --data easy_vqa";
    }
  }
  [[nodiscard]] std::unique_ptr<Dataset> open(const std::string& split) const {
    return registry_.make_dataset(
        {"easy_vqa", split, Config(easy_vqa_defaults()), data_dir_, registry_});
  }
  std::filesystem::path data_dir_;
  Registry registry_ = test::data_registry();
};

TEST_F(PublishedEasyVqaTest, HasThePublishedNumbersOfQuestionsImagesAndAnswers) {
  const QuestionFile train = read_question_file(data_dir_ / "easy_vqa/train/questions.json");
  const QuestionFile test = read_question_file(data_dir_ / "easy_vqa/test/questions.json");
  const auto images = [](const QuestionFile& file) {
    std::set<std::int64_t> numbers;
    for (const QuestionRow& row : file.rows) numbers.insert(row.image);
    return numbers.size();
  };
  EXPECT_EQ(train.rows.size(), 38'575U);
  EXPECT_EQ(test.rows.size(), 9'673U);
  EXPECT_EQ(images(train), 4'000U);
  EXPECT_EQ(images(test), 1'000U);
  EXPECT_EQ(train.answers.size(), 13U);
}

TEST_F(PublishedEasyVqaTest, SplitsIntoTrainValAndTest) {
  const auto train = open("train");
  const auto val = open("val");
  const auto test = open("test");
  EXPECT_EQ(train->size() + val->size(), 38'575);
  // 400 of 4,000 images, with 38,575 / 4,000 = 9.6 questions each on average
  EXPECT_NEAR(static_cast<double>(val->size()), 3'857.5, 250);
  EXPECT_EQ(test->size(), 9'673);
  EXPECT_EQ(test->facts(), train->facts());
  EXPECT_EQ(test->facts().find("num_final_outputs")->as_integer(), 14);  // 13 and <unk>
}

TEST_F(PublishedEasyVqaTest, GivesTheSameBatchesWithAnyNumberOfWorkers) {
  const auto val = open("val");
  std::vector<at::Tensor> sums;
  for (const std::int64_t workers : {0, 1, 4}) {
    LoaderOptions options;
    options.batch_size = 128;
    options.shuffle = Shuffle::kYes;
    options.num_workers = workers;
    DataLoader loader(*val, options);
    loader.start_epoch(0);
    std::vector<at::Tensor> parts;
    while (const auto batch = loader.next()) {
      EXPECT_EQ(batch->tensor("image").size(2), 64);
      parts.push_back(batch->tensor("question_id"));
    }
    sums.push_back(at::cat(parts));
  }
  EXPECT_TRUE(at::equal(sums[0], sums[1]));
  EXPECT_TRUE(at::equal(sums[0], sums[2]));
}

}  // namespace
}  // namespace pergola::host
