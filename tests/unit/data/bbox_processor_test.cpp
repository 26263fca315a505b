// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/bbox_processor.h"

#include "unit/data/fixture.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>

namespace pergola::host {
namespace {

using test::error_of;
using testing::HasSubstr;

TransformerBboxProcessor make(Value::Table params = {}) {
  return TransformerBboxProcessor(
      TransformerBboxProcessor::spec().complete(Config(Value(std::move(params)), "params")));
}

Sample apply(SampleField boxes, const at::Tensor& width, const at::Tensor& height) {
  Sample sample;
  sample.set("bbox", std::move(boxes));
  sample.set("image_width", width);
  sample.set("image_height", height);
  Rng rng(0);
  make().apply(sample, rng);
  return sample;
}

at::Tensor number(double value) { return at::scalar_tensor(value, at::kDouble); }

// MMF's own test: a box of no extent in the image's corner.
TEST(TransformerBboxProcessorTest, GivesThePublishedNumbers) {
  const at::Tensor boxes = at::full({1, 4}, 100.0, at::kFloat);
  const Sample sample = apply(boxes, at::scalar_tensor(100, at::kLong), number(100));
  const at::Tensor& result = sample.tensor("bbox");
  EXPECT_EQ(result.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(result, at::tensor({1.0F, 1.0F, 1.0F, 1.0F, 0.0F}).view({1, 5})));
}

TEST(TransformerBboxProcessorTest, DividesByWidthAndHeightAndAddsTheArea) {
  // In 40 x 20: x / 40, y / 20, and 20 * 10 / 800 of the area; a fifth column is not read.
  const at::Tensor boxes = at::tensor({10, 5, 30, 15, 7, 0, 0, 40, 20, 7}, at::kLong).view({2, 5});
  const Sample sample = apply(boxes, number(40), number(20));
  const at::Tensor expected =
      at::tensor({0.25F, 0.25F, 0.75F, 0.75F, 0.25F, 0.0F, 0.0F, 1.0F, 1.0F, 1.0F}).view({2, 5});
  EXPECT_TRUE(at::allclose(sample.tensor("bbox"), expected));
}

TEST(TransformerBboxProcessorTest, TakesNoBoxesAndRaggedOnes) {
  const RaggedTensor none{at::zeros({0, 4}), RaggedTensor::Form::kPacked};
  const Sample sample = apply(none, number(2), number(2));
  EXPECT_EQ(sample.ragged("bbox").tensor.sizes(), (at::IntArrayRef{0, 5}));
  EXPECT_EQ(sample.ragged("bbox").form, RaggedTensor::Form::kPacked);
}

TEST(TransformerBboxProcessorTest, ReadsTheFieldsThatItsParamsName) {
  const auto processor =
      make({{"bbox_key", "boxes"}, {"image_width_key", "w"}, {"image_height_key", "h"}});
  Sample sample;
  sample.set("boxes", at::ones({1, 4}));
  sample.set("w", number(2));
  sample.set("h", number(4));
  Rng rng(0);
  processor.apply(sample, rng);
  EXPECT_TRUE(at::allclose(sample.tensor("bbox"),
                           at::tensor({0.5F, 0.25F, 0.5F, 0.25F, 0.0F}).view({1, 5})));
}

TEST(TransformerBboxProcessorTest, IsConfiguredByItsRegisteredName) {
  const Registry registry = test::data_registry();
  EXPECT_NE(registry.make_processor({"transformer_bbox", Config(), Config(), ""}), nullptr);
}

TEST(TransformerBboxProcessorTest, RefusesBoxesOfAnotherShape) {
  EXPECT_EQ(error_of(ErrorKind::kData,
                     [] {
                       apply(at::zeros({2, 3}), number(1), number(1));
                     }),
            "field 'bbox' is float [2, 3], but the processor 'transformer_bbox' takes numbers "
            "[regions, 4 or more]; correct the data, or name another field in its params");
}

TEST(TransformerBboxProcessorTest, RefusesASizeThatIsNoNumberAboveZero) {
  const at::Tensor box = at::zeros({1, 4});
  EXPECT_EQ(error_of(ErrorKind::kData, [&] { apply(box, number(0), number(1)); }),
            "field 'image_width' is double [] of 0, but the processor 'transformer_bbox' takes one "
            "number of pixels above 0; correct the data, or name another field in its params");
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { apply(box, number(1), number(NAN)); }),
              HasSubstr("field 'image_height'"));
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { apply(box, number(1), at::zeros({2})); }),
              HasSubstr("field 'image_height' is float [2], but"));
}

}  // namespace
}  // namespace pergola::host
