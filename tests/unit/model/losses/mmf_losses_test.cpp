// SPDX-License-Identifier: BSD-3-Clause
// The fixed numbers of MMF's own tests, and of MMF's code on torch 2.11.0 with seed 1234: scores =
// randn(4, 6), then targets = rand(4, 6).
#include "unit/model/losses/loss_test_kit.h"

#include <ATen/ATen.h>

namespace pergola::host::loss_test {
namespace {

class MmfLossesTest : public testing::Test {
 protected:
  MmfLossesTest() {
    at::manual_seed(1234);
    scores_ = at::randn({4, 6});
    targets_ = at::rand({4, 6});
  }
  double of(const std::string& loss, Value::Table params = {}) {
    return value(loss, scores_, targets_, std::move(params));
  }

  at::Tensor scores_;
  at::Tensor targets_;
  const at::Tensor classes_ = at::tensor({1, 0, 5, 3}, at::kLong);
};

TEST_F(MmfLossesTest, TheSeedGivesMmfsNumbers) {
  EXPECT_NEAR(scores_[0][0].item<double>(), -.1117186, 1e-6);
  EXPECT_NEAR(scores_[0][5].item<double>(), .6683737, 1e-6);
  EXPECT_NEAR(targets_[0][0].item<double>(), .4108109, 1e-6);
  EXPECT_NEAR(targets_[0][5].item<double>(), .7076616, 1e-6);
}

TEST_F(MmfLossesTest, BinaryCrossEntropies) {
  EXPECT_NEAR(of("logit_bce"), 4.452232, 1e-5);
  EXPECT_NEAR(value("bce", scores_.sigmoid(), targets_), 4.452232, 1e-5);
  const at::Tensor branches = at::stack({scores_, scores_ * .5, -scores_}, 1);
  EXPECT_NEAR(value("triple_logit_bce", branches, targets_), 13.629959, 2e-5);
}

TEST_F(MmfLossesTest, CrossEntropies) {
  EXPECT_NEAR(value("cross_entropy", scores_, classes_), 1.613082, 1e-5);
  EXPECT_NEAR(value("cross_entropy", scores_, classes_, {{"label_smoothing", .1}}), 1.657365, 1e-5);
  EXPECT_NEAR(value("nll_loss", at::log_softmax(scores_, 1), targets_), 8.752031, 1e-5);
}

TEST_F(MmfLossesTest, Divergences) {
  EXPECT_NEAR(of("softmax_kldiv"), .317634, 1e-6);
  EXPECT_NEAR(of("wrong"), .317634, 1e-6);
  EXPECT_NEAR(of("bce_kl_combined", {{"weight_softmax", .5}}), 4.611049, 1e-5);
  const LossMap both =
      compute({"bce_kl", {{"weight_softmax", .5}}, {{"scores", scores_}}, {{"targets", targets_}}});
  EXPECT_NEAR(both.at("kl").item<double>(), .158817, 1e-6);
  EXPECT_NEAR(both.at("bce").item<double>(), 4.452232, 1e-5);
}

TEST_F(MmfLossesTest, Embeddings) {
  EXPECT_NEAR(of("mse"), 1.239942, 1e-5);
  EXPECT_NEAR(of("cos_emb_loss"), 1.159963, 1e-5);
  Given given{"in_batch_hinge",
              {{"margin", .2}},
              {{"scores", scores_}, {"targets", targets_}},
              {{"targets", targets_}}};
  EXPECT_NEAR(value(given), 13.808674, 1e-5);
  given.params["hard"] = true;
  EXPECT_NEAR(value(given), 9.567097, 1e-5);
  EXPECT_NEAR(
      value(
          {"contrastive_loss",
           {},
           {{"embedding_1", scores_}, {"embedding_2", targets_}, {"temperature", at::full({}, .5)}},
           {{"targets", targets_}}}),
      2.44676, 1e-5);
}

TEST_F(MmfLossesTest, MultiOfTwo) {
  EXPECT_NEAR(
      of("multi", {{"params", Value::Array{Value::Table{{"type", "logit_bce"}, {"weight", .3}},
                                           Value::Table{{"type", "mse"}, {"weight", .7}}}}}),
      2.203629, 1e-5);
}

// From here: MMF's tests/modules/test_losses.py.
class MmfsOwnTest : public testing::Test {
 protected:
  MmfsOwnTest() { at::manual_seed(1234); }
};

TEST_F(MmfsOwnTest, CaptionCrossEntropyOfAMatchIsZero) {
  const at::Tensor scores = at::zeros({1, 10, 10});
  scores.select(2, 4).fill_(100);
  EXPECT_EQ(value("caption_cross_entropy", scores, at::full({1, 10}, 4, at::kLong)), 0);
}

TEST_F(MmfsOwnTest, CaptionCrossEntropy) {
  const at::Tensor words = at::randint(0, 9491, {5, 10}, at::kLong);
  EXPECT_EQ(words[0][0].item<std::int64_t>(), 3787);
  EXPECT_NEAR(value("caption_cross_entropy", at::rand({5, 10, 9491}), words), 9.2507, 5e-5);
}

TEST_F(MmfsOwnTest, InBatchHinge) {
  const auto hinge = [](const at::Tensor& images, const at::Tensor& texts) {
    return value({"in_batch_hinge",
                  {{"margin", .2}, {"hard", true}},
                  {{"scores", images}, {"targets", texts}},
                  {{"targets", images}}});
  };
  EXPECT_EQ(hinge(at::eye(3), at::eye(3)), 0);
  const at::Tensor texts = at::rand({5, 10});
  EXPECT_NEAR(hinge(at::rand({5, 10}), texts), 6.5529985, 1e-5);
}

TEST_F(MmfsOwnTest, EqualTensorsHaveNoDistance) {
  const at::Tensor same = at::rand({1, 768});
  EXPECT_NEAR(same[0][0].item<double>(), .02897924, 1e-8);
  EXPECT_EQ(value("mse", same, same), 0);
  EXPECT_EQ(value("cos_emb_loss", same, same), 0);
  EXPECT_EQ(value("refiner_ms", same, same), 0);
  const at::Tensor ten = at::rand({10, 768});
  EXPECT_EQ(value("refiner_contrastive_loss", ten, ten), 0);
}

TEST_F(MmfsOwnTest, BceAndKlOfEqualTensors) {
  const at::Tensor same = at::rand({1, 768});
  const LossMap both =
      compute({"bce_kl", {{"weight_softmax", .5}}, {{"scores", same}}, {{"targets", same}}});
  EXPECT_NEAR(both.at("bce").item<double>(), 504.22253418, 1e-4);
  EXPECT_NEAR(both.at("kl").item<double>(), .031847, 1e-6);
}

TEST_F(MmfsOwnTest, MultiSimilarityOfOneClassIsZero) {
  const at::Tensor fused = at::randn({5, 768});
  EXPECT_EQ(value({"ms_loss", {}, {{"fused_embedding", fused}}, {{"targets", at::zeros(5)}}}), 0);
}

}  // namespace
}  // namespace pergola::host::loss_test
