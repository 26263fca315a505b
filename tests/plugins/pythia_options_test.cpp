// SPDX-License-Identifier: BSD-3-Clause
// Options of Pythia's config that its default does not use, followed into the model.
#include "plugins/pythia_mini.h"

namespace pergola::pythia {
namespace {

using test::close;
using test::error_of;
using test::parameter_names;
using ::testing::Contains;
using ::testing::ElementsAre;

// `count` attentions over each feature, with the given normalization and number of glimpses.
std::shared_ptr<Pythia> build_with_attentions(int count, const std::string& normalization,
                                              int glimpses) {
  std::string change;
  for (int i = 0; i < count; ++i) {
    change += concat(R"(
        [[image_feature_embeddings]]
        modal_combine = {type = "non_linear_element_multiply", params = {hidden_dim = 9}}
        normalization = ")",
                     normalization, R"("
        transform = {type = "linear", params = {out_dim = )",
                     glimpses, "}}");
  }
  return build_mini(change);
}

at::Tensor parameter(const Pythia& model, const std::string& name) {
  return model.named_parameters()[name];
}

TEST(PythiaOptionsTest, SeveralAttentionsOverAFeatureAreNumberedAsMmfs) {
  const auto model = build_with_attentions(2, "softmax", 1);
  for (const char* place : {"0.0", "0.1"}) {
    EXPECT_THAT(parameter_names(*model),
                Contains(concat("image_feature_embeddings_list.", place,
                                ".image_attention_model.module.transform.module.lc.weight_v")));
  }
  EXPECT_THAT(model->forward(mini_batch()).scores.sizes().vec(), ElementsAre(2, 11));
}

// Two attentions of two glimpses, each a sum of regions that are 7 wide.
TEST(PythiaOptionsTest, GlimpsesOfAllAttentionsStandSideBySide) {
  const auto model = build_with_attentions(2, "softmax", 2);
  EXPECT_THAT(
      parameter(*model, "image_text_multi_modal_combine_layer.module.fa_image.layers.0.weight_v")
          .sizes()
          .vec(),
      ElementsAre(9, 2 * 2 * 7));
  EXPECT_THAT(parameter(*model,
                        "image_feature_embeddings_list.0.1.image_attention_model.module.transform."
                        "module.lc.weight_v")
                  .sizes()
                  .vec(),
              ElementsAre(2, 9));
  EXPECT_THAT(model->forward(mini_batch()).scores.sizes().vec(), ElementsAre(2, 11));
}

// A bias before a softmax over the regions changes nothing; one before a sigmoid does.
TEST(PythiaOptionsTest, TheConfigChoosesTheNormalization) {
  for (const char* normalization : {"softmax", "sigmoid"}) {
    const auto model = build_with_attentions(1, normalization, 1);
    const at::Tensor before = model->forward(mini_batch()).scores;
    const at::NoGradGuard no_grad;
    parameter(*model,
              "image_feature_embeddings_list.0.0.image_attention_model.module.transform.module.lc."
              "bias")
        .add_(2.0);
    const bool same = close(model->forward(mini_batch()).scores, before, 1e-6);
    EXPECT_EQ(same, std::string(normalization) == "softmax") << normalization;
  }
}

// One convolution makes one region of an image of 2 x 2.
TEST(PythiaOptionsTest, ConvGridCannotBeTrainedOnOneNumber) {
  const auto model =
      build_mini(R"(image_feature_encodings = [{type = "conv_grid", params = {channels = [4]}}])");
  const auto batch = [](std::int64_t samples) {
    SampleList result;
    result.add_field("text", torch::ones({samples, 5}, torch::kLong));
    result.add_field("image", test::ramp({samples, 3, 2, 2}, .3, .1));
    return result;
  };
  EXPECT_EQ(error_of(ErrorKind::kConfig, [&] { (void)model->forward(batch(1)); }),
            "conv_grid cannot be trained on a batch of one image that it shrinks to 1 x 1, because "
            "batch norm needs more than one number; choose a training.batch_size that leaves more "
            "than one for the last batch, fewer channels in image_feature_encodings, or larger "
            "images");
  EXPECT_THAT(model->forward(batch(2)).scores.sizes().vec(), ElementsAre(2, 11));
  model->eval();
  EXPECT_THAT(model->forward(batch(1)).scores.sizes().vec(), ElementsAre(1, 11));
}

}  // namespace
}  // namespace pergola::pythia
