// SPDX-License-Identifier: BSD-3-Clause
#include "fixtures/temp_folder.h"
#include "host/model/metrics/detection_mean_ap.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "unit/model/metrics/detection_helpers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

namespace pergola::host {
namespace {

using fixtures::TempFolder;
using ::testing::HasSubstr;

constexpr const char* kKey = "detection_mean_ap";

// tests/golden/detection.json: of pycocotools (tools/reference/detection.py).
const Value::Array& golden_cases() {
  static const Value kGolden = [] {
    const std::string path = PERGOLA_GOLDEN_DIR "/detection.json";
    return from_json(read_file(path, ErrorKind::kData), path);
  }();
  return kGolden.find("cases")->as_array();
}

at::Tensor matrix(const Value& rows, std::int64_t columns, at::ScalarType type = at::kFloat) {
  at::Tensor result =
      at::zeros({static_cast<std::int64_t>(rows.as_array().size()), columns}, at::kDouble);
  std::int64_t i = 0;
  for (const Value& row : rows.as_array()) {
    for (std::int64_t j = 0; j < columns; ++j) {
      result[i][j] = row.as_array()[static_cast<std::size_t>(j)].as_float();
    }
    ++i;
  }
  return result.to(type);
}

std::vector<DetectionImage> images_of(const Value& golden_case) {
  std::vector<DetectionImage> images;
  for (const Value& one : golden_case.find("images")->as_array()) {
    DetectionImage image;
    image.id = one.find("image_id")->as_integer();
    image.height = one.find("orig_size[0]")->as_integer();
    image.width = one.find("orig_size[1]")->as_integer();
    const Value& logits = *one.find("pred_logits");
    image.logits_NC =
        matrix(logits, static_cast<std::int64_t>(logits.as_array()[0].as_array().size()));
    image.boxes_N4 = matrix(*one.find("pred_boxes"), 4);
    Value::Array boxes;
    Value::Array numbers;  // label, iscrowd, area
    for (const Value& truth : golden_case.find("dataset.annotations")->as_array()) {
      if (truth.find("image_id")->as_integer() != image.id) continue;
      boxes.push_back(*truth.find("bbox"));
      numbers.emplace_back(
          Value::Array{*truth.find("category_id"), *truth.find("iscrowd"), *truth.find("area")});
    }
    image.truths_G4 = matrix(Value(boxes), 4);
    image.truths_G4.slice(1, 2, 4) += image.truths_G4.slice(1, 0, 2);
    const at::Tensor numbers_G3 = matrix(Value(numbers), 3);
    image.labels_G = numbers_G3.select(1, 0).to(at::kLong);
    image.crowds_G = numbers_G3.select(1, 1).to(at::kBool);
    image.areas_G = numbers_G3.select(1, 2);
    images.push_back(image);
  }
  return images;
}

Value::Table files(const std::string& file) {
  const Value::Table splits{{"val", file}};
  return {{"dataset_json_files", Value::Table{{"detection_coco", splits}}}};
}

void expect_golden(double found, const Value& golden_case) {
  const std::string& name = golden_case.find("name")->as_string();
  const Value& expected = *golden_case.find("map");
  if (expected.is_null()) {
    EXPECT_TRUE(std::isnan(found)) << name << " is " << found;
  } else {
    EXPECT_NEAR(found, expected.as_float(), 1e-12) << name;
  }
}

TEST(DetectionMeanApTest, HasTheNumbersOfPycocotoolsForAFile) {
  const TempFolder folder;
  for (const Value& one : golden_cases()) {
    const auto file = folder.write("instances.json", to_json(*one.find("dataset")));
    const auto metric = make_metric(kKey, files(file.string()));
    update(*metric, images_of(one));
    expect_golden(value_of(*metric), one);
  }
}

TEST(DetectionMeanApTest, HasTheSameNumbersForObjectsOfTheBatch) {
  for (const Value& one : golden_cases()) {
    const std::vector<DetectionImage> images = images_of(one);
    if (images.size() != one.find("dataset.images")->as_array().size()) continue;
    const auto metric = make_metric(kKey);
    update(*metric, images);
    expect_golden(value_of(*metric), one);
  }
}

class OneImageTest : public ::testing::Test {
 protected:
  OneImageTest() {
    // One object of category 1 in a picture of 64 x 64, found exactly; category 0 is none.
    image_.logits_NC = at::tensor({0.0F, 3.0F, 0.0F}).view({1, 3});
    image_.boxes_N4 = at::tensor({0.25F, 0.25F, 0.5F, 0.5F}).view({1, 4});
    image_.truths_G4 = at::tensor({0.0F, 0.0F, 32.0F, 32.0F}).view({1, 4});
    image_.labels_G = at::tensor({1});
    image_.crowds_G = at::tensor({0});
  }
  double value(const std::vector<DetectionImage>& images) {
    const auto metric = make_metric(kKey);
    update(*metric, images);
    return value_of(*metric);
  }
  double value() { return value({image_}); }
  static std::string error(ErrorKind kind, const std::function<void()>& work) {
    try {
      work();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind);
      return error.what();
    }
    return "nothing was thrown";
  }
  void add_detection(const std::vector<float>& logits, const std::vector<float>& box) {
    image_.logits_NC = at::cat({image_.logits_NC, at::tensor(logits).unsqueeze(0)});
    image_.boxes_N4 = at::cat({image_.boxes_N4, at::tensor(box).unsqueeze(0)});
  }
  DetectionImage image_;
};

TEST_F(OneImageTest, WhatIsFoundExactlyIsOne) { EXPECT_NEAR(value(), 1, 1e-12); }

TEST_F(OneImageTest, WithoutDetectionsItIsZero) {
  image_.logits_NC = at::zeros({0, 3});
  image_.boxes_N4 = at::zeros({0, 4});
  EXPECT_EQ(value(), 0);
}

TEST_F(OneImageTest, WithoutObjectsItIsNotANumber) {
  image_.truths_G4 = at::zeros({0, 4});
  image_.labels_G = at::zeros({0}, at::kLong);
  image_.crowds_G = at::zeros({0}, at::kLong);
  EXPECT_TRUE(std::isnan(value()));
}

TEST_F(OneImageTest, OnlyCrowdsAreNotANumber) {
  image_.crowds_G = at::tensor({1});
  EXPECT_TRUE(std::isnan(value()));
}

TEST_F(OneImageTest, DetectionsThatAreNotNumbersAreLeftOut) {
  const float nan = std::nanf("");
  const float infinity = std::numeric_limits<float>::infinity();
  for (const auto& [logits, box] : std::vector<std::pair<std::vector<float>, std::vector<float>>>{
           {{0, nan, 0}, {0.5, 0.5, 0.5, 0.5}},
           {{0, infinity, 0}, {0.5, 0.5, 0.5, 0.5}},
           {{0, 9, 0}, {nan, 0.5, 0.5, 0.5}},
           {{0, 9, 0}, {0.5, 0.5, infinity, 0.5}}}) {
    const DetectionImage before = image_;
    add_detection(logits, box);
    EXPECT_NEAR(value(), 1, 1e-12) << logits << " " << box;
    image_ = before;
  }
  // A wrong one with a higher score halves the precision.
  add_detection({0, 9, 0}, {0.9F, 0.9F, 0.1F, 0.1F});
  EXPECT_NEAR(value(), 0.5, 1e-12);
}

TEST_F(OneImageTest, TheSecondTimeAnImageCountsNothing) {
  DetectionImage other = image_;
  other.logits_NC = at::tensor({0.0F, 0.0F, 3.0F}).view({1, 3});
  other.boxes_N4 = at::tensor({0.9F, 0.9F, 0.1F, 0.1F}).view({1, 4});
  EXPECT_NEAR(value({image_, other}), 1, 1e-12);
  other.id = 2;  // one of two objects found, with the higher score: recall 0 to 0.5 of 101 steps
  EXPECT_NEAR(value({image_, other}), 51.0 / 101, 1e-12);
}

TEST_F(OneImageTest, HalfPrecisionIsReadAsItIs) {
  image_.logits_NC = image_.logits_NC.to(at::kHalf);
  image_.boxes_N4 = image_.boxes_N4.to(at::kHalf);
  EXPECT_NEAR(value(), 1, 1e-12);
}

TEST_F(OneImageTest, AFileCountsTheImagesThatNobodyLookedAt) {
  const TempFolder folder;
  const auto file = folder.write("f.json", R"({"images": [{"id": 1}, {"id": 2}],
      "categories": [{"id": 1}], "annotations": [
      {"image_id": 1, "category_id": 1, "bbox": [0, 0, 32, 32]},
      {"image_id": 2, "category_id": 1, "bbox": [0, 0, 32, 32]}]})");
  const auto metric = make_metric(kKey, files(file.string()));
  update(*metric, {image_});
  EXPECT_NEAR(value_of(*metric), 51.0 / 101, 1e-12);
  metric->reset();
  EXPECT_TRUE(std::isnan(value_of(*metric)));
  image_.id = 3;
  EXPECT_EQ(error(ErrorKind::kData,
                  [&] {
                    update(*metric, {image_});
                    static_cast<void>(metric->compute());
                  }),
            "detection_mean_ap found image_id 3, which is not in " + file.string() +
                "; choose the file of that split, or correct the data set");
}

TEST_F(OneImageTest, AFileForAnotherSplitOrOfAnotherFormIsRefused) {
  const auto metric = make_metric(kKey, files("unused.json"));
  SampleList batch = batch_of({image_});
  batch.set_dataset("detection_coco", "test");
  EXPECT_EQ(error(ErrorKind::kConfig, [&] { metric->update(batch, output_of({image_})); }),
            "detection_mean_ap has no dataset_json_files.detection_coco.test; name the COCO file "
            "of that split, or leave dataset_json_files out if the data set has the objects in its "
            "batches");
  EXPECT_THAT(error(ErrorKind::kConfig,
                    [&] {
                      static_cast<void>(make_metric(
                          kKey, {{"dataset_json_files", Value::Table{{"detection_coco", 3}}}}));
                    }),
              HasSubstr("dataset_json_files.detection_coco"));
}

TEST_F(OneImageTest, SaysWhatDoesNotFit) {
  const auto message = [&] { return error(ErrorKind::kData, [&] { static_cast<void>(value()); }); };
  const DetectionImage good = image_;
  image_.boxes_N4 = at::zeros({2, 4});
  EXPECT_EQ(
      message(),
      "detection_mean_ap cannot read pred_logits [1, 1, 3] and pred_boxes [1, 2, 4] for 1 "
      "images; expected [batch, detections, categories + 1] and [batch, detections, 4]; check "
      "the model's detection head");
  image_ = good;
  image_.truths_G4 = at::zeros({1, 5});
  EXPECT_EQ(message(),
            "detection_mean_ap found targets.boxes [1, 5] of image 0 of the batch; expected "
            "[objects, 4], x1, y1, x2, y2 in pixels; check the data set");
  image_ = good;
  image_.labels_G = at::tensor({1, 2});
  EXPECT_EQ(message(),
            "detection_mean_ap found targets.labels [2] for 1 boxes of image 0 of the batch; "
            "expected one number a box; check the data set");
  image_ = good;
  SampleList batch = batch_of({image_});
  batch.set_field("orig_size", at::zeros({1, 3}));
  EXPECT_EQ(
      error(ErrorKind::kData, [&] { make_metric(kKey)->update(batch, output_of({image_})); }),
      "detection_mean_ap found image_id [1] and orig_size [1, 3]; expected [batch] and [batch, 2], "
      "height and width in pixels; check the data set");
  EXPECT_THAT(error(ErrorKind::kData,
                    [&] { make_metric(kKey)->update(batch_of({image_}), ModelOutput{}); }),
              HasSubstr("detection_mean_ap needs 'pred_logits' of the model's output"));
}

}  // namespace
}  // namespace pergola::host
