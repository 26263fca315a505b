// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/coco_file.h"

#include "unit/data/fixture.h"

#include <gmock/gmock.h>

namespace pergola::host {
namespace {

using test::error_of;
using test::TempFolder;
using testing::ElementsAre;
using testing::HasSubstr;

class CocoFileTest : public testing::Test {
 protected:
  CocoFile read(const std::string& json) { return read_coco_file(folder_.write("c.json", json)); }
  std::string error(const std::string& json) {
    return error_of(ErrorKind::kData, [&] { (void)read(json); });
  }
  // A file with these annotations, image 7 and the categories 1 and 3.
  static std::string with_annotations(const std::string& annotations) {
    return R"({"info": {}, "images": [{"id": 7, "file_name": "7.jpg"}], )"
           R"("categories": [{"id": 1}, {"id": 3}], "annotations": [)" +
           annotations + "]}";
  }
  std::string path() const { return (folder_.path() / "c.json").string(); }

  TempFolder folder_;
};

TEST_F(CocoFileTest, HasTheObjectsOfEachImageInTheOrderOfTheFile) {
  const CocoFile file = read(with_annotations(
      R"({"id": 5, "image_id": 7, "category_id": 3, "bbox": [1, 2.5, 3, 4], "area": 6.25,
          "iscrowd": 1, "segmentation": {"counts": [1, [2]], "size": [3, 4]}},
         {"id": 4, "image_id": 7, "category_id": 1, "bbox": [0, 0, 5, 2], "area": 9, "iscrowd": 0})"));
  EXPECT_THAT(file.categories, ElementsAre(1, 3));
  ASSERT_EQ(file.images.at(7).size(), 2U);
  const TrueBox& first = file.images.at(7)[0];
  EXPECT_EQ(first.category, 3);
  EXPECT_THAT(first.box, ElementsAre(1, 2.5, 3, 4));
  EXPECT_EQ(first.area, 6.25);
  EXPECT_TRUE(first.crowd);
  EXPECT_FALSE(file.images.at(7)[1].crowd);
}

TEST_F(CocoFileTest, KnowsImagesWithoutObjects) {
  EXPECT_TRUE(read(with_annotations("")).images.at(7).empty());
}

TEST_F(CocoFileTest, TakesTheBoxsAreaAndNoCrowdWhereNothingIsSaid) {
  const CocoFile file =
      read(with_annotations(R"({"image_id": 7, "category_id": 1, "bbox": [0, 0, 5, 2]})"));
  EXPECT_EQ(file.images.at(7)[0].area, 10);
  EXPECT_FALSE(file.images.at(7)[0].crowd);
}

TEST_F(CocoFileTest, LeavesOutObjectsOfImagesAndCategoriesThatAreNotListed) {
  const CocoFile file = read(with_annotations(
      R"({"image_id": 8, "category_id": 1, "bbox": [0, 0, 5, 2]},
         {"image_id": 7, "category_id": 2, "bbox": [0, 0, 5, 2]})"));
  EXPECT_EQ(file.images.size(), 1U);
  EXPECT_TRUE(file.images.at(7).empty());
}

TEST_F(CocoFileTest, NamesThePlaceOfWhatIsMissingOrOfAnotherType) {
  EXPECT_EQ(error(with_annotations(R"({"image_id": 7, "category_id": 1, "bbox": [0, 0, 5]})")),
            path() +
                ": annotations[0].bbox is [0,0,5]; expected [x, y, width, height]; restore "
                "the file");
  EXPECT_EQ(error(with_annotations(R"({"image_id": 7, "bbox": [0, 0, 5, 1]})")),
            path() +
                ": annotations[0].category_id is missing; expected an integer; restore the "
                "file");
  EXPECT_THAT(error(with_annotations(
                  R"({"image_id": 7, "category_id": 1, "bbox": [0, 0, 5, 1], "area": "big"})")),
              HasSubstr("annotations[0].area is \"big\"; expected a number"));
  EXPECT_THAT(error(R"({"images": [3], "categories": [], "annotations": []})"),
              HasSubstr("images[0].id is missing; expected an integer"));
}

TEST_F(CocoFileTest, SaysThatAFileOfAnotherKindIsNone) {
  EXPECT_EQ(error(R"([{"image_id": 1}])"),
            path() +
                " has no list 'images'; expected a COCO file of instances, with images, "
                "categories and annotations");
}

TEST_F(CocoFileTest, SaysWhereTheJsonIsBroken) {
  EXPECT_THAT(error("{\"images\": [],\n oops}"), HasSubstr("c.json:2:"));
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { (void)read_coco_file("/nowhere/c.json"); }),
              HasSubstr("/nowhere/c.json"));
}

}  // namespace
}  // namespace pergola::host
