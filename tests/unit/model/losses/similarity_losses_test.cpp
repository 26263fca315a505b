// SPDX-License-Identifier: BSD-3-Clause
// What is special to losses of probabilities, of embeddings and of a batch's similarities.
#include "unit/model/losses/loss_test_kit.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>

#include <limits>

namespace pergola::host::loss_test {
namespace {

using testing::HasSubstr;

// Unit vectors at these angles.
at::Tensor at_angles(const std::vector<double>& angles) {
  const at::Tensor a = at::tensor(angles, at::kDouble);
  return at::stack({a.cos(), a.sin()}, 1);
}

Given ms(const at::Tensor& embeddings, const at::Tensor& targets, Value::Table params = {}) {
  return {"ms_loss", std::move(params), {{"fused_embedding", embeddings}}, {{"targets", targets}}};
}

double one_sided(double exponent, double p) { return std::log1p(std::exp(exponent)) / p; }

TEST(BceTest, AScoreThatIsNoProbabilityMakesNan) {
  for (const double number : {-.1, 1.1}) {
    const at::Tensor scores = at::tensor({.5, number}).reshape({1, 2});
    for (const double target : {0., .5, 1.}) {
      EXPECT_TRUE(std::isnan(value("bce", scores, at::full({1, 2}, target)))) << number;
    }
  }
}

// torch bounds the logarithm at -100, and its gradient at 1e12.
TEST(BceTest, CertainAndWrongIsFiniteWithTorchsGradient) {
  const at::Tensor targets = at::tensor({1., 0., 1., 0.}).reshape({1, 4});
  const at::Tensor ours = at::tensor({0., 1., 1., 0.}).reshape({1, 4}).requires_grad_(true);
  const at::Tensor torchs = ours.detach().clone().requires_grad_(true);
  const at::Tensor found = total({"bce", {}, {{"scores", ours}}, {{"targets", targets}}});
  const at::Tensor expected = at::binary_cross_entropy(torchs, targets) * 4;
  EXPECT_EQ(found.item<double>(), 200);  // two of four
  EXPECT_EQ(found.item<double>(), expected.item<double>());
  found.backward();
  expected.backward();
  EXPECT_TRUE(ours.grad().equal(torchs.grad()));
}

TEST(BceTest, AttentionsMustHaveTheShapeOfTheSupervision) {
  Given given = example("attention_supervision");
  given.batch["info.attention_supervision"] = at::ones({4, 1});
  EXPECT_EQ(error_of(given),
            "loss attention_supervision: found attentions [4, 6] Double and "
            "info.attention_supervision [4, 1] Float; expected one shape [batch, regions, ...]");
}

TEST(MaskedBceTest, IsZeroWhereEverythingIsMasked) {
  Given given = example("m4c_decoding_bce_with_mask");
  given.batch["train_loss_mask"] = at::zeros({4, 4});
  EXPECT_EQ(value(given), 0);
  expect_gradients(given);
}

TEST(MaskedBceTest, TheMaskMustHaveAnEntryForEachStep) {
  Given given = example("m4c_decoding_bce_with_mask");
  given.batch["train_loss_mask"] = at::ones({4, 3});
  EXPECT_THAT(error_of(given), HasSubstr("and train_loss_mask [4, 3] Float; expected"));
}

TEST(DivergenceTest, RowsOfZerosAreZeroWithZeroGradient) {
  for (const char* loss : {"softmax_kldiv", "weighted_softmax", "wrong"}) {
    Given given = example(loss);
    given.batch["targets"] = at::zeros({4, 6});
    EXPECT_EQ(value(given), 0) << loss;
    expect_gradients(given);
  }
}

TEST(DivergenceTest, TheFactorHasNoDefault) {
  EXPECT_THAT(error_of({"bce_kl", {}, {}, {}}, ErrorKind::kConfig), HasSubstr("weight_softmax"));
}

TEST(InBatchHingeTest, TextsMustBeAMultipleOfImages) {
  Given given = example("in_batch_hinge");
  given.output["targets"] = at::ones({6, 6});
  EXPECT_EQ(
      error_of(given),
      "loss in_batch_hinge: found scores [4, 6] Double and the model's targets [6, 6] Double; "
      "expected images [batch, width] and texts [batch, width], or k times as many texts");
}

TEST(ContrastiveTest, TheTemperatureIsTrained) {
  const Given given = leaves_of(example("contrastive_loss"));
  total(given).backward();
  EXPECT_NE(given.output.at("temperature").grad().item<double>(), 0);
}

TEST(ContrastiveTest, AMissingFieldIsNamedWithThoseThatAreThere) {
  Given given = example("contrastive_loss");
  given.output.erase("temperature");
  EXPECT_EQ(error_of(given),
            "loss contrastive_loss: the model returned no 'temperature'; found: 'embedding_1', "
            "'embedding_2'; set ModelOutput::fields[\"temperature\"] in forward()");
}

// Samples 0 and 1 of a class 60 degrees apart (cosine 1/2), sample 2 of another at 150 degrees:
// cosines -sqrt(3)/2 to 0 and 0 to 1. Mining leaves no pair: 0 + 0.1 is not above 1/2.
TEST(MultiSimilarityTest, HardMiningLeavesEasyPairsOutAndFalseDoesNotMine) {
  const double pi = std::acos(-1);
  const at::Tensor embeddings = at_angles({0, pi / 3, 5 * pi / 6});
  const at::Tensor classes = at::tensor({0, 0, 1});
  EXPECT_EQ(value(ms(embeddings, classes)), 0);
  const double positive = one_sided(0, 2);  // cosine - margin is 0
  const double expected =
      2 * positive + one_sided(50 * (-std::sqrt(3) / 2 - .5), 50) + one_sided(50 * (0 - .5), 50);
  EXPECT_NEAR(value(ms(embeddings, classes, {{"hard_mining", false}})), expected / 3, 1e-12);
}

TEST(MultiSimilarityTest, ADoubleOfASampleIsNoPositive) {
  const at::Tensor embeddings = at_angles({0, 0, 1});
  EXPECT_EQ(value(ms(embeddings, at::tensor({0, 0, 1}), {{"hard_mining", false}})), 0);
}

TEST(MultiSimilarityTest, RowsWithoutPairsHaveNoGradient) {
  const Given given = ms(example("ms_loss").output.at("fused_embedding"), at::zeros(4));
  EXPECT_EQ(value(given), 0);
  expect_gradients(given);
}

TEST(MultiSimilarityTest, OneHotTargetsNeedIsMultilabel) {
  EXPECT_EQ(error_of(ms(at::ones({3, 2}), at::eye(3))),
            "loss ms_loss: found fused_embedding [3, 2] Float and targets [3, 3] Float; expected "
            "embeddings [batch, width] and targets [batch], or is_multilabel = true");
}

// MMF compares every row with the labels of row 0. Here 1 and 2 share a label, and 0 has none of
// it.
TEST(MultiSimilarityTest, EachRowIsComparedWithItsOwnLabels) {
  const at::Tensor labels = at::tensor({1., 0., 0., 1., 0., 1.}).reshape({3, 2});
  const at::Tensor embeddings = example("ms_loss", 3).output.at("fused_embedding");
  EXPECT_NEAR(value(ms(embeddings, labels, {{"is_multilabel", true}})),
              value(ms(embeddings, at::tensor({0, 1, 1}))), 1e-12);
}

// exp(50 * (900 - 0.5)) has no number of its own; its logarithm does.
TEST(RefinerMsTest, LargeProductsDoNotOverflow) {
  const at::Tensor scores = at::tensor({30.F, 29.F}).reshape({2, 1});
  const at::Tensor targets = at::tensor({30.F, 31.F}).reshape({2, 1});
  // Row 0: own 900, other 930. Row 1: own 899, other 870, which is not within the margin.
  EXPECT_NEAR(value("refiner_ms", scores, targets), (930 - .5) / 2, 1e-3);
}

TEST(RefinerContrastiveTest, OnlyCloserTargetsCount) {
  // Cosines of score 0 with targets: cos(0.3) own, cos(0.1). Of score 1: cos(0.9) other, cos(0.5).
  const at::Tensor scores = at_angles({0, .6});
  const at::Tensor targets = at_angles({.3, .1});
  const double row_0 = .1 + std::cos(.1) - std::cos(.3);
  const double row_1 = .1 + std::cos(.3) - std::cos(.5);
  EXPECT_NEAR(value("refiner_contrastive_loss", scores, targets), (row_0 + row_1) / 2, 1e-12);
  EXPECT_EQ(value("refiner_contrastive_loss", targets, targets, {{"sim_thresh", 0.0}}), 0);
}

}  // namespace
}  // namespace pergola::host::loss_test
