// SPDX-License-Identifier: BSD-3-Clause
// Pythia's encoders and attentions alone. Legend: B = batch, R = regions, D = width of a region,
// Q = question, A = glimpses.
#include "plugins/pythia_mini.h"

namespace pergola::pythia {
namespace {

using test::close;
using test::error_of;
using test::ramp;
using test::without_gradient;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int64_t kImageDim = 7;
constexpr std::int64_t kTextDim = 12;

std::shared_ptr<TopDownAttention> make_attention(Normalization normalization,
                                                 double dropout = 0.0) {
  ImageAttentionConfig config;
  config.combine = {.hidden_dim = 9, .dropout = dropout};
  config.normalization = normalization;
  config.glimpses = 2;
  torch::manual_seed(4);
  return std::make_shared<TopDownAttention>(kImageDim, kTextDim, config);
}

// MMF's formulas, written down one after the other.
at::Tensor reference(const TopDownAttention& attention, Normalization normalization,
                     const Regions& regions, const at::Tensor& text_BQ) {
  const auto weights = attention.named_parameters();
  const auto linear = [&](const at::Tensor& x, const std::string& name) {
    const at::Tensor v = weights[name + ".weight_v"];
    const at::Tensor w = weights[name + ".weight_g"] * v / v.square().sum().sqrt();
    return torch::matmul(x, w.t()) + weights[name + ".bias"];
  };
  const at::Tensor image =
      linear(regions.features_BRD, "combination_layer.module.fa_image.layers.0");
  const at::Tensor text = linear(text_BQ, "combination_layer.module.fa_txt.layers.0");
  at::Tensor scores = linear(image.relu() * text.relu().unsqueeze(1), "transform.module.lc");
  scores = normalization == Normalization::kSoftmax ? scores.softmax(1) : scores.sigmoid();
  if (regions.counts_B.defined()) {
    for (std::int64_t b = 0; b < scores.size(0); ++b) {
      scores[b].slice(0, regions.counts_B[b].item<std::int64_t>()).zero_();
    }
    if (normalization == Normalization::kSoftmax) {
      const at::Tensor sum = scores.sum(1, /*keepdim=*/true);
      scores = scores / (sum + sum.eq(0).to(torch::kFloat) + 1e-8);
    }
  }
  return torch::einsum("bra,brd->bad", {scores, regions.features_BRD}).flatten(1);
}

TEST(PythiaAttentionTest, FollowsMmfsFormulas) {
  const at::NoGradGuard no_grad;
  const at::Tensor features_BRD = ramp({2, 3, kImageDim}, .21, .5);
  const at::Tensor text_BQ = ramp({2, kTextDim}, .4, .1);
  for (const auto normalization : {Normalization::kSoftmax, Normalization::kSigmoid}) {
    const auto attention = make_attention(normalization);
    for (const at::Tensor& counts_B :
         {at::Tensor(), torch::tensor({3, 2}), torch::tensor({1, 0})}) {
      const Regions regions{features_BRD, counts_B};
      const at::Tensor sums_BX = attention->forward(regions, text_BQ);
      EXPECT_THAT(sums_BX.sizes().vec(), ElementsAre(2, 2 * kImageDim));
      EXPECT_TRUE(close(sums_BX, reference(*attention, normalization, regions, text_BQ), 1e-6));
    }
  }
}

// With almost no dropout the longer way, through the product of image and text, must give what the
// shorter one gives.
TEST(PythiaAttentionTest, BothWaysToProjectAgree) {
  const Regions regions{ramp({2, 3, kImageDim}, .21, .5), {}};
  const at::Tensor text_BQ = ramp({2, kTextDim}, .4, .1);
  const auto shorter = make_attention(Normalization::kSoftmax);
  const auto longer = make_attention(Normalization::kSoftmax, 1e-9);
  EXPECT_TRUE(close(shorter->forward(regions, text_BQ), longer->forward(regions, text_BQ), 1e-6));
}

TEST(PythiaAttentionTest, PaddingRegionsChangeNothing) {
  const auto model = build_mini();
  const at::Tensor scores = model->forward(mini_batch()).scores;
  SampleList other = mini_batch();
  const at::Tensor features_BRD = other.tensor("image_feature_0").clone();
  features_BRD[1][2].fill_(0.7);  // the third region of an image that has two
  other.set_field("image_feature_0", features_BRD);
  EXPECT_TRUE(close(model->forward(other).scores, scores, 1e-6));
  other.set_field("image_info_0", image_info({3, 3}));
  EXPECT_FALSE(close(model->forward(other).scores[1], scores[1], 1e-6));
}

// MMF's region counts are not cut at the number of regions that are kept.
TEST(PythiaAttentionTest, MoreRegionsThanThereAreMeansAll) {
  const auto model = build_mini();
  SampleList all = mini_batch();
  all.set_field("image_info_0", image_info({3, 3}));
  SampleList more = mini_batch();
  more.set_field("image_info_0", image_info({100, 250}));
  EXPECT_TRUE(torch::equal(model->forward(more).scores, model->forward(all).scores));
}

// A kernel of width 3 whose sides are 0 is one of width 1.
TEST(PythiaAttentionTest, ConvolutionsOverTimeMayBeWide) {
  const auto narrow = build_mini();
  const auto wide = build_mini(R"(
      [[text_embeddings]]
      type = "attention"
      params.embedding_dim = 8
      params.hidden_dim = 6
      params.conv1_out = 5
      params.kernel_size = 3
      params.padding = 1)");
  const at::NoGradGuard no_grad;
  for (const auto& item : wide->named_parameters()) {
    const at::Tensor from = narrow->named_parameters()[item.key()];
    if (from.sizes() == item.value().sizes()) {
      item.value().copy_(from);
    } else {
      item.value().zero_();
      item.value().select(2, 1).copy_(from.squeeze(2));
    }
  }
  EXPECT_TRUE(
      close(wide->forward(mini_batch()).scores, narrow->forward(mini_batch()).scores, 1e-6));
}

TEST(PythiaAttentionTest, BothDirectionsShareTheWidth) {
  const auto model = build_mini(R"(
      [[text_embeddings]]
      type = "attention"
      params = {embedding_dim = 8, hidden_dim = 6, num_layers = 2, bidirectional = true})");
  const auto weights = model->named_parameters();
  const std::string lstm = "text_embeddings.0.module.recurrent_unit.";
  EXPECT_THAT(weights[lstm + "weight_hh_l1_reverse"].sizes().vec(), ElementsAre(4 * 3, 3));
  EXPECT_THAT(model->forward(mini_batch()).scores.sizes().vec(), ElementsAre(2, 11));
}

TEST(PythiaEncoderTest, EachFeatureHasItsOwnEncoderAndAttention) {
  const auto model =
      build_mini(R"(image_feature_encodings = ["finetune_faster_rcnn_fpn_fc7", "default"])");
  const auto score = [&](double a, double b) {
    SampleList batch = mini_batch();
    batch.set_field("image_feature_0", ramp({2, 3, 7}, .21, a));
    batch.add_field("image_feature_1", ramp({2, 5, 7}, .33, b));  // another number of regions
    return model->forward(batch).scores;
  };
  EXPECT_FALSE(close(score(.5, .5), score(.9, .5), 1e-6));
  EXPECT_FALSE(close(score(.5, .5), score(.5, .9), 1e-6));
}

// relu(lc x), checked with lc = -1 times the identity: what is positive becomes 0.
TEST(PythiaEncoderTest, Fc7IsALinearLayerWithReLU) {
  EncoderConfig config;
  config.type = EncoderType::kFc7;
  config.dim = kImageDim;
  const auto encoder = make_encoder(config, 0);
  const at::NoGradGuard no_grad;
  encoder->named_parameters()["lc.weight"].copy_(-torch::eye(kImageDim));
  encoder->named_parameters()["lc.bias"].zero_();
  const at::Tensor expected = (-ramp({2, 3, 7}, 0.21, 0.5)).clamp_min(0);
  const Regions regions = encoder->forward(mini_batch());
  EXPECT_TRUE(torch::equal(regions.features_BRD, expected));
  EXPECT_TRUE(torch::equal(regions.counts_B, torch::tensor({3, 2})));
}

SampleList image_batch(const at::Tensor& image) {
  SampleList batch;
  batch.add_field("text", torch::ones({image.size(0), 5}, torch::kLong));
  batch.add_field("image", image);
  return batch;
}

// Four halvings make 4 x 4 = 16 regions of 64 x 64 pixels, and 2 x 3 of 20 x 40 (each rounded up).
TEST(PythiaEncoderTest, ConvGridMakesRegionsOfPixels) {
  EncoderConfig config;
  config.type = EncoderType::kConvGrid;
  config.channels = {4, 4, 6, 8};
  const auto encoder = make_encoder(config, 0);
  const Regions square = encoder->forward(image_batch(torch::rand({2, 3, 64, 64})));
  EXPECT_THAT(square.features_BRD.sizes().vec(), ElementsAre(2, 16, 8));
  EXPECT_FALSE(square.counts_B.defined());
  const Regions oblong = encoder->forward(image_batch(torch::rand({2, 3, 20, 40})));
  EXPECT_THAT(oblong.features_BRD.sizes().vec(), ElementsAre(2, 2 * 3, 8));
}

// Convolution, batch norm and ReLU, in rows: region r of an image w wide is at (r / w, r % w).
TEST(PythiaEncoderTest, ConvGridIsConvolutionBatchNormAndReLU) {
  EncoderConfig config;
  config.type = EncoderType::kConvGrid;
  config.channels = {5};
  const auto encoder = make_encoder(config, 0);
  encoder->eval();
  const at::NoGradGuard no_grad;
  const at::Tensor image = torch::rand({2, 3, 8, 6});
  const at::Tensor weight = encoder->named_parameters()["layers.0.conv.weight"];
  const at::Tensor expected_BDHW =
      (torch::conv2d(image, weight, /*bias=*/{}, /*stride=*/2, /*padding=*/1) / std::sqrt(1 + 1e-5))
          .relu();
  const at::Tensor regions_BRD = encoder->forward(image_batch(image)).features_BRD;
  EXPECT_TRUE(
      close(regions_BRD[1][1 * 3 + 2], expected_BDHW.select(0, 1).select(1, 1).select(1, 2), 1e-5));
  EXPECT_TRUE(close(regions_BRD, expected_BDHW.flatten(2).transpose(1, 2), 1e-5));
}

TEST(PythiaEncoderTest, GradientReachesEveryConvolution) {
  const auto model = build_mini(
      R"(image_feature_encodings = [{type = "conv_grid", params = {channels = [4, 6]}}])");
  const auto loss = model->forward(image_batch(torch::rand({3, 3, 16, 16}))).scores.square().sum();
  for (const std::string& name : without_gradient(*model, loss)) {
    EXPECT_THAT(name, Not(HasSubstr("image_feature_encoders"))) << name;
  }
}

// Batch norm: statistics of the batch in training, the running ones in evaluation.
TEST(PythiaEncoderTest, ConvGridEvaluatesWithRunningStatistics) {
  const auto model =
      build_mini(R"(image_feature_encodings = [{type = "conv_grid", params = {channels = [4]}}])");
  const SampleList batch = image_batch(torch::rand({3, 3, 16, 16}));
  const at::Tensor training = model->forward(batch).scores;
  model->eval();
  const at::Tensor evaluation = model->forward(batch).scores;
  EXPECT_FALSE(close(training, evaluation, 1e-6));
  EXPECT_TRUE(torch::equal(model->forward(batch).scores, evaluation));
}

// What reads features counts on its own: conv_grid takes no number.
TEST(PythiaEncoderTest, FeaturesAreNumberedAmongThoseThatReadThem) {
  const auto model = build_mini(R"(image_feature_encodings = ["conv_grid", "default"])");
  SampleList batch = mini_batch();
  batch.add_field("image", torch::rand({2, 3, 16, 16}));
  EXPECT_THAT(model->forward(batch).scores.sizes().vec(), ElementsAre(2, 11));
}

std::string forward_error(const std::shared_ptr<Pythia>& model, const SampleList& batch) {
  return error_of(ErrorKind::kData, [&] { (void)model->forward(batch); });
}

TEST(PythiaEncoderTest, MissingFieldsAreNamed) {
  SampleList batch;
  batch.add_field("text", torch::ones({2, 5}, torch::kLong));
  EXPECT_THAT(forward_error(build_mini(), batch), HasSubstr("image_feature_0"));
  EXPECT_THAT(forward_error(build_mini(R"(image_feature_encodings = ["conv_grid"])"), batch),
              HasSubstr("image"));
  EXPECT_THAT(forward_error(build_mini(R"(image_feature_encodings = ["default", "default"])"),
                            mini_batch()),
              HasSubstr("image_feature_1"));
}

TEST(PythiaEncoderTest, AFeatureWithoutEncoderIsRefused) {
  SampleList batch = mini_batch();
  batch.add_field("image_feature_1", torch::zeros({2, 3, 7}));
  EXPECT_THAT(forward_error(build_mini(), batch),
              AllOf(HasSubstr("image_feature_1"), HasSubstr("image_feature_encodings")));
}

TEST(PythiaEncoderTest, FeaturesOfAnotherShapeAreRefused) {
  for (const auto& shape : std::vector<std::vector<std::int64_t>>{{2, 7}, {2, 3, 8}, {2, 0, 7}}) {
    SampleList batch = mini_batch();
    batch.set_field("image_feature_0", torch::zeros(shape));
    EXPECT_THAT(forward_error(build_mini(), batch),
                AllOf(HasSubstr("image_feature_0 has the shape ["),
                      HasSubstr("; expected [batch, regions, 7]; set image_feature_dim")));
  }
}

TEST(PythiaEncoderTest, ImagesOfAnotherShapeAreRefused) {
  const auto model = build_mini(R"(image_feature_encodings = ["conv_grid"])");
  for (const auto& shape :
       std::vector<std::vector<std::int64_t>>{{2, 3, 64}, {2, 1, 64, 64}, {2, 3, 0, 64}}) {
    EXPECT_THAT(forward_error(model, image_batch(torch::zeros(shape))),
                HasSubstr("; conv_grid expects [batch, 3, height, width]"));
  }
}

}  // namespace
}  // namespace pergola::pythia
