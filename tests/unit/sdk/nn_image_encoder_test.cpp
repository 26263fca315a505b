// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/nn/image_encoder.h"
#include "unit/sdk/data_error.h"

#include <ATen/ATen.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::nn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ImageEncoderConfig patches() {
  ImageEncoderConfig config;
  config.type = ImageEncoderType::kPatch;
  config.patch_size = 2;
  config.dim = 8;
  return config;
}

// A product of its own pixels with the weights, plus what its place adds, row by row: of a black
// image the places are left.
TEST(ImageEncoderTest, APatchIsAProductOfItsPixels) {
  torch::manual_seed(5);
  ImageEncoder encoder(patches());
  const at::Tensor image = torch::rand({1, 3, 4, 6});
  const at::Tensor found = encoder.forward(image) - encoder.forward(torch::zeros_like(image));
  ASSERT_THAT(found.sizes().vec(), ElementsAre(1, 6, 8));
  const at::Tensor weight = encoder.named_parameters()["patch.weight"].flatten(1);
  for (int row = 0; row < 2; ++row) {
    for (int column = 0; column < 3; ++column) {
      const at::Tensor pixels = image[0].narrow(1, 2 * row, 2).narrow(2, 2 * column, 2).flatten();
      EXPECT_TRUE(torch::allclose(found[0][3 * row + column], weight.mv(pixels), 0, 1e-5));
    }
  }
}

TEST(ImageEncoderTest, PlacesTellRowsAndColumnsApart) {
  ImageEncoder encoder(patches());
  const at::Tensor places = encoder.forward(torch::zeros({1, 3, 8, 8}))[0];
  const at::Tensor distances = at::cdist(places, places) + 10 * at::eye(16);
  EXPECT_GT(distances.min().item<double>(), 0.1);
}

// Four halvings of 64 x 48, and of sizes that are odd on the way.
TEST(ImageEncoderTest, AGridHalvesTheImageWithEachConvolution) {
  ImageEncoder encoder(ImageEncoderConfig{});
  EXPECT_THAT(encoder.forward(torch::rand({2, 3, 64, 48})).sizes().vec(),
              ElementsAre(2, 4 * 3, 128));
  EXPECT_THAT(encoder.forward(torch::rand({2, 3, 33, 17})).sizes().vec(),
              ElementsAre(2, 3 * 2, 128));
}

TEST(ImageEncoderTest, TheNumberOfRegionsIsKnownFromTheShapeAlone) {
  ImageEncoderConfig large_kernel;
  large_kernel.channels = {2, 2};
  large_kernel.kernel_size = 5;
  for (const ImageEncoderConfig& config : {ImageEncoderConfig{}, large_kernel, patches()}) {
    ImageEncoder encoder(config);
    for (const auto& [height, width] : {std::pair{64, 48}, {33, 17}, {2, 3}, {7, 2}}) {
      const at::Tensor image = torch::rand({2, 3, height, width});
      EXPECT_EQ(config.num_regions(image), encoder.forward(image).size(1)) << height;
      SampleList batch;
      batch.add_field("image", image);
      const at::Tensor mask = read_region_mask(batch, config, config.out_dim(), "key");
      EXPECT_TRUE(mask.equal(read_regions(batch, &encoder, config.out_dim(), "key").mask));
    }
  }
}

TEST(ImageEncoderTest, TheMaskOfRegionsThatTheBatchBringsIsThatOfTheirNumbers) {
  SampleList info;
  info.add_field("max_features", torch::tensor(std::vector<std::int64_t>{2, 0}));
  SampleList batch;
  batch.add_field("image_feature_0", torch::ones({2, 3, 4}));
  EXPECT_TRUE(
      read_region_mask(batch, std::nullopt, 4, "key").equal(torch::ones({2, 3}, at::kLong)));
  batch.add_field("image_info_0", std::make_shared<const SampleList>(std::move(info)));
  EXPECT_TRUE(read_region_mask(batch, std::nullopt, 4, "key")
                  .equal(torch::tensor({{1, 1, 0}, {0, 0, 0}}).to(at::kBool)));
}

TEST(ImageEncoderTest, RefusesImagesThatAreSmallerThanARegion) {
  ImageEncoder encoder(patches());
  EXPECT_THAT(data_error([&] {
                (void)encoder.forward(torch::rand({1, 3, 1, 4}));
              }),
              HasSubstr("image has the shape [1, 3, 1, 4]; the image_encoder expects [batch, 3, "
                        "height, width] of at least 2 x 2 pixels"));
  EXPECT_THAT(data_error([&] {
                (void)encoder.forward(torch::rand({1, 1, 4, 4}));
              }),
              HasSubstr("[1, 1, 4, 4]"));
}

// Torch's batch norm throws for one number a channel: the last batch of an epoch may be one image.
TEST(ImageEncoderTest, ABatchOfOneImageOfOneRegionIsTrained) {
  ImageEncoderConfig config;
  config.channels = {4};
  ImageEncoder encoder(config);
  EXPECT_THAT(encoder.forward(torch::rand({1, 3, 2, 2})).sizes().vec(), ElementsAre(1, 1, 4));
  const at::Tensor mean = encoder.named_buffers()["norm_0.running_mean"];
  EXPECT_TRUE(mean.equal(torch::zeros({4})));
}

TEST(ReadRegionsTest, TakesFeaturesWithTheNumberThatIsReal) {
  const at::Tensor features = torch::randn({2, 3, 4});
  SampleList batch;
  batch.add_field("image_feature_0", features);
  EXPECT_TRUE(read_regions(batch, nullptr, 4, "dim").features.equal(features));
  EXPECT_TRUE(read_regions(batch, nullptr, 4, "dim").mask.equal(torch::ones({2, 3}, torch::kLong)));
  SampleList info;
  info.add_field("max_features", torch::tensor({2, 3}, torch::kLong));
  batch.add_field("image_info_0", std::make_shared<const SampleList>(std::move(info)));
  EXPECT_TRUE(read_regions(batch, nullptr, 4, "dim")
                  .mask.equal(torch::tensor({{1, 1, 0}, {1, 1, 1}}, torch::kBool)));
}

TEST(ReadRegionsTest, TakesOneRegionAnImageAndChoicesAsSamples) {
  SampleList batch;
  batch.add_field("image_feature_0", torch::randn({2, 4}));
  EXPECT_THAT(read_regions(batch, nullptr, 4, "dim").features.sizes().vec(), ElementsAre(2, 1, 4));
  batch.set_field("image_feature_0", torch::randn({2, 5, 3, 4}));
  EXPECT_THAT(read_regions(batch, nullptr, 4, "dim").features.sizes().vec(), ElementsAre(10, 3, 4));
}

TEST(ReadRegionsTest, RefusesAnotherWidthAndNamesTheKey) {
  SampleList batch;
  batch.add_field("image_feature_0", torch::randn({2, 3, 4}));
  EXPECT_EQ(data_error([&] { (void)read_regions(batch, nullptr, 5, "visual_embedding_dim"); }),
            "image_feature_0 has the shape [2, 3, 4]; the model expects [batch, regions, 5]; set "
            "visual_embedding_dim to the width of the features");
}

TEST(ReadRegionsTest, MakesThemFromPixels) {
  ImageEncoder encoder(patches());
  SampleList batch;
  batch.add_field("image", torch::rand({2, 3, 4, 4}));
  const Regions regions = read_regions(batch, &encoder, 8, "dim");
  EXPECT_THAT(regions.features.sizes().vec(), ElementsAre(2, 4, 8));
  EXPECT_TRUE(regions.mask.equal(torch::ones({2, 4}, torch::kBool)));
}

}  // namespace
}  // namespace pergola::nn
