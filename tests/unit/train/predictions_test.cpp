// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/predictions.h"

#include "fixtures/temp_folder.h"
#include "host/support/json.h"

#include <gtest/gtest.h>

#include <fstream>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

class PredictionWriterTest : public ::testing::Test {
 protected:
  static std::vector<Value> rows(std::int64_t first, std::int64_t count) {
    std::vector<Value> result;
    for (std::int64_t i = 0; i < count; ++i)
      result.push_back(Value::Table{{"question_id", first + i}});
    return result;
  }
  Value read() { return from_json(read_file(path_, ErrorKind::kData), "test"); }

  fixtures::TempFolder temp_;
  fs::path path_ = temp_.path() / "predictions" / "set_test.json";
};

TEST_F(PredictionWriterTest, RowsOfAllBatchesAreOneArray) {
  PredictionWriter writer(path_);
  writer.write(rows(0, 2));
  writer.write({});
  writer.write(rows(2, 1));
  EXPECT_EQ(writer.finish(), 3U);
  const Value array = read();
  ASSERT_EQ(array.as_array().size(), 3U);
  EXPECT_EQ(array.find("[2].question_id")->as_integer(), 2);
}

TEST_F(PredictionWriterTest, NoRowsAreAnEmptyArray) {
  PredictionWriter writer(path_);
  EXPECT_EQ(writer.finish(), 0U);
  EXPECT_TRUE(read().as_array().empty());
}

TEST_F(PredictionWriterTest, UnfinishedLeavesNothingAndTheOldFileStays) {
  {
    PredictionWriter writer(path_);
    writer.write(rows(0, 1));
    static_cast<void>(writer.finish());
  }
  {
    PredictionWriter writer(path_);
    writer.write(rows(0, 5));
  }
  EXPECT_EQ(read().as_array().size(), 1U);
  EXPECT_EQ(std::distance(fs::directory_iterator(path_.parent_path()), fs::directory_iterator()),
            1);
}

// RFC 4180: what holds a comma, a quotation mark or the end of a line is put in quotation marks.
TEST_F(PredictionWriterTest, ATableHasTheKeysOfTheFirstRow) {
  path_.replace_extension(".csv");
  PredictionWriter writer(path_);
  writer.write({Value::Table{{"answer", "a \"red\", big one"}, {"id", 1}, {"scores", 0.5}}});
  writer.write({Value::Table{{"answer", "two\nlines"}, {"other", 1}},
                Value::Table{{"answer", ""}, {"id", Value()}, {"scores", Value::Array{1, "b"}}}});
  EXPECT_EQ(writer.finish(), 3U);
  EXPECT_EQ(read_file(path_, ErrorKind::kData),
            "answer,id,scores\n"
            "\"a \"\"red\"\", big one\",1,0.5\n"
            "\"two\nlines\",,\n"
            ",,\"[1,\"\"b\"\"]\"\n");
}

}  // namespace
}  // namespace pergola::host
