// SPDX-License-Identifier: BSD-3-Clause
// Which words the regions of a VisualBERT belong to.
#include "plugins/visual_bert_mini.h"

namespace pergola::visual_bert {
namespace {

using test::close;
using test::error_of;
using ::testing::HasSubstr;

TEST(VisualBertTest, AlignedRegionsHaveThePositionsOfTheirWords) {
  const auto model = build_random();
  const auto scores = [&](const std::vector<std::int64_t>& words) {
    SampleList batch = mini_batch();
    batch.add_field("image_text_alignment", torch::tensor(words).view({2, 3, 2}));
    return model->forward(batch).scores;
  };
  const at::Tensor none = scores(std::vector<std::int64_t>(12, -1));
  EXPECT_TRUE(close(none, model->forward(mini_batch()).scores, 1e-6));
  const at::Tensor some = scores({1, -1, 2, 3, -1, -1, 1, 2, 4, 4, -1, -1});
  EXPECT_FALSE(close(some, none, 1e-5));
  // A word that is named twice counts as once: the mean of two times the same.
  const at::Tensor same = scores({1, 1, 2, 3, -1, -1, 1, 2, 4, -1, -1, -1});
  EXPECT_TRUE(close(same, some, 1e-6));
}

class VisualBertAlignment : public ::testing::Test {
 protected:
  // Of an image with that alignment, or with none.
  [[nodiscard]] static SampleList image(double phase, const at::Tensor& alignment) {
    SampleList image = mini_image(phase);
    if (alignment.defined()) image.add_field("image_text_alignment", alignment);
    return image;
  }
  [[nodiscard]] SampleList pair(const at::Tensor& first, const at::Tensor& second) const {
    return mini_pair(image(.5, first), image(1.5, second));
  }
  [[nodiscard]] std::string error(const SampleList& batch) const {
    return error_of(ErrorKind::kData, [&] { static_cast<void>(model_->forward(batch)); });
  }

  std::shared_ptr<VisualBert> model_ =
      build_random("training_head_type = \"nlvr2\"\nnum_final_outputs = 2");
};

TEST_F(VisualBertAlignment, OfTheBatchHoldsForBothImages) {
  SampleList batch = pair({}, {});
  batch.add_field("image_text_alignment", mini_alignment());
  const at::Tensor scores = model_->forward(batch).scores;
  EXPECT_TRUE(scores.equal(model_->forward(pair(mini_alignment(), mini_alignment())).scores));
  EXPECT_FALSE(close(scores, model_->forward(pair({}, {})).scores, 1e-4));
  // That of each image matters.
  const at::Tensor other = mini_alignment().flip(0);
  EXPECT_FALSE(close(scores, model_->forward(pair(other, mini_alignment())).scores, 1e-4));
  EXPECT_FALSE(close(scores, model_->forward(pair(mini_alignment(), other)).scores, 1e-4));
}

TEST_F(VisualBertAlignment, OfOneImageAloneIsAnError) {
  EXPECT_THAT(error(pair({}, mini_alignment())),
              HasSubstr("img1 has an image_text_alignment and the other image none; expected one "
                        "in both, or the batch's for both"));
  EXPECT_THAT(error(pair(mini_alignment(), {})), HasSubstr("img0 has an image_text_alignment and"));
}

TEST_F(VisualBertAlignment, OfAnotherShapeIsAnError) {
  EXPECT_THAT(error(pair(mini_alignment(), mini_alignment().slice(2, 0, 1))),
              HasSubstr("img0 has an image_text_alignment [2, 3, 2] and img1 [2, 3, 1]; expected "
                        "one shape for both"));
  SampleList batch = pair({}, {});
  // Of one region: it was that of all of them, without a word.
  batch.add_field("image_text_alignment", mini_alignment().slice(1, 0, 1));
  EXPECT_THAT(error(batch),
              HasSubstr("image_text_alignment has the shape [4, 1, 2] and the regions [4, 3, 7]; "
                        "expected [batch, regions, words] for the same batch and regions"));
}

}  // namespace
}  // namespace pergola::visual_bert
