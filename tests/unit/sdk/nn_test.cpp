// SPDX-License-Identifier: BSD-3-Clause
// The building blocks of pergola/nn, each on its own; tests/plugins has whole models of them.
#include "pergola/error.h"
#include "pergola/nn/attention.h"
#include "pergola/nn/bert.h"
#include "pergola/nn/module.h"
#include "unit/sdk/data_error.h"

#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::nn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(NestTest, LevelsAreMadeOnceAndNamedAsThePathSays) {
  torch::nn::Module root("root");
  nest(root, "a.b.first", torch::nn::Linear(2, 3));
  nest(root, "a.b.second", torch::nn::Linear(3, 1));
  std::vector<std::string> names;
  for (const auto& item : root.named_parameters()) names.push_back(item.key());
  EXPECT_THAT(names, ElementsAre("a.b.first.weight", "a.b.first.bias", "a.b.second.weight",
                                 "a.b.second.bias"));
}

// Three samples of 2, 0 and 3 tokens.
class TokenMaskTest : public ::testing::Test {
 protected:
  const TokenMask mask_{torch::tensor({{1, 0, 1}, {0, 0, 0}, {1, 1, 1}}, torch::kLong)};
};

TEST_F(TokenMaskTest, PacksTheTokensThatAreThere) {
  const at::Tensor padded = torch::arange(9).view({3, 3});
  const at::Tensor packed = mask_.pack(padded);
  EXPECT_TRUE(packed.equal(torch::tensor({0, 2, 6, 7, 8}, torch::kLong)));
  EXPECT_TRUE(mask_.unpack(packed).equal(padded * mask_.present()));
}

TEST_F(TokenMaskTest, OffsetsSayWhereEachSampleBegins) {
  EXPECT_TRUE(mask_.offsets().equal(torch::tensor({0, 2, 2, 5}, torch::kInt)));
}

TEST_F(TokenMaskTest, AnotherShapeIsRefused) {
  EXPECT_THAT(data_error([] { const TokenMask mask(torch::ones({3})); }),
              HasSubstr("a mask of tokens has the shape [3]; expected [batch, tokens]"));
}

// A batch of so many samples, and no more in it.
SampleList batch_of(std::int64_t samples) {
  SampleList batch;
  batch.add_field("index", torch::arange(samples));
  return batch;
}

// The same samples as above, with the places that a batch brings along.
class TokenPlacesTest : public ::testing::Test {
 protected:
  TokenPlacesTest() { add_token_places(batch_, present_); }

  const at::Tensor present_ = torch::tensor({{1, 0, 1}, {0, 0, 0}, {1, 1, 1}}, torch::kLong);
  SampleList batch_ = batch_of(3);
};

// 128 in all: the first multiple.
TEST_F(TokenPlacesTest, AreFollowedByRowsOfNobody) {
  const PackedTensor& places = batch_.packed("token_places");
  ASSERT_EQ(places.values.sizes(), (std::vector<std::int64_t>{128}));
  EXPECT_TRUE(places.values.narrow(0, 0, 5).equal(torch::tensor({0, 2, 6, 7, 8}, torch::kLong)));
  EXPECT_TRUE(places.values.narrow(0, 5, 123).eq(-1).all().item<bool>());
  EXPECT_TRUE(places.offsets.equal(torch::tensor({0, 2, 2, 5}, torch::kLong)));
}

TEST_F(TokenPlacesTest, AreRoundedUpToFewNumbers) {
  for (const auto& [tokens, rows] :
       {std::pair{0, 128}, {1, 128}, {128, 128}, {129, 256}, {256, 256}}) {
    SampleList batch = batch_of(1);
    add_token_places(batch, torch::arange(300).lt(tokens).unsqueeze(0));
    EXPECT_EQ(batch.packed("token_places").values.size(0), rows) << tokens;
  }
}

// Three sequences to one sample; no way to give three to two.
TEST_F(TokenPlacesTest, CountSeveralSequencesOfASampleTogether) {
  SampleList batch = batch_of(1);
  add_token_places(batch, present_, "other");
  EXPECT_TRUE(batch.packed("other").offsets.equal(torch::tensor({0, 5}, torch::kLong)));
  SampleList two = batch_of(2);
  EXPECT_THAT(data_error([&] { add_token_places(two, present_); }),
              HasSubstr("a mask of tokens has the shape [3, 3] for a batch of 2; expected [batch, "
                        "tokens], or a multiple of batch"));
}

TEST_F(TokenPlacesTest, PackAndUnpackAsWithoutThemButForSurplusZeros) {
  const TokenMask mask(present_, batch_);
  const at::Tensor padded = torch::arange(18).view({3, 3, 2}) + 1;
  const at::Tensor packed = mask.pack(padded);
  ASSERT_EQ(packed.sizes(), (std::vector<std::int64_t>{128, 2}));
  EXPECT_TRUE(packed.narrow(0, 0, 5).equal(TokenMask(present_).pack(padded)));
  EXPECT_TRUE(packed.narrow(0, 5, 123).eq(0).all().item<bool>());
  EXPECT_TRUE(mask.unpack(packed + 1).equal((padded + 1) * mask.present().unsqueeze(-1)));
}

// The surplus is a sample of 123 rows; no sample has more than 128 of them.
TEST_F(TokenPlacesTest, MakeTheSurplusASampleOfItsOwn) {
  const TokenMask mask(present_, batch_);
  EXPECT_TRUE(mask.offsets().equal(torch::tensor({0, 2, 2, 5, 128}, torch::kInt)));
  EXPECT_EQ(mask.longest(), 128);
  SampleList batch = batch_of(1);
  const at::Tensor long_one = torch::ones({1, 130});
  add_token_places(batch, long_one);
  EXPECT_EQ(TokenMask(long_one, batch).longest(), 160);  // 130 of 5 times 32
}

TEST_F(TokenPlacesTest, OfABatchWithoutThemAreLookedFor) {
  const TokenMask mask(present_, batch_of(3));
  EXPECT_TRUE(mask.offsets().equal(torch::tensor({0, 2, 2, 5}, torch::kInt)));
  EXPECT_EQ(mask.longest(), 3);
}

TEST_F(TokenPlacesTest, OfAnotherMaskAreRefused) {
  SampleList batch = batch_of(3);
  add_token_places(batch, torch::ones({3, 50}));
  EXPECT_THAT(data_error([&] { const TokenMask mask(present_, batch); }),
              HasSubstr("field 'token_places' has long int values [256] for a mask of tokens [3, "
                        "3]; expected what add_token_places() makes of this mask"));
}

TEST_F(TokenPlacesTest, RowsOfATableAreOnesOfNothingInTheSurplus) {
  const at::Tensor first = torch::arange(9).view({3, 3}) * 10;
  const at::Tensor second = torch::full({3, 3}, -1, torch::kLong);
  for (const TokenMask& mask : {TokenMask(present_), TokenMask(present_, batch_)}) {
    const std::vector<at::Tensor> rows = mask.pack_rows({first, second});
    EXPECT_TRUE(rows[0].narrow(0, 0, 5).equal(torch::tensor({0, 20, 60, 70, 80}, torch::kLong)));
    EXPECT_TRUE(rows[0].slice(0, 5).eq(-1).all().item<bool>());
    EXPECT_TRUE(rows[1].eq(-1).all().item<bool>());
  }
}

// The last token of each; the second sample has none, and the first has no second one.
TEST_F(TokenPlacesTest, ATokenIsPickedFromWhereItStands) {
  const at::Tensor padded = torch::arange(9).view({3, 3, 1}) + 1;
  for (const TokenMask& mask : {TokenMask(present_), TokenMask(present_, batch_)}) {
    const at::Tensor packed = mask.pack(padded);
    const auto picked = [&](std::vector<std::int64_t> tokens) {
      return mask.pick(packed, torch::tensor(tokens)).flatten();
    };
    EXPECT_TRUE(picked({2, 2, 2}).equal(torch::tensor({3, 0, 9}, torch::kLong)));
    EXPECT_TRUE(picked({1, 0, 1}).equal(torch::tensor({0, 0, 8}, torch::kLong)));
  }
}

class AttentionTest : public ::testing::TestWithParam<AttentionKind> {
 protected:
  // The same for all ways: [B, H, T, D] in double precision, with gradients.
  AttentionTest() {
    torch::manual_seed(5);
    for (at::Tensor& x : inputs_) x = torch::randn({3, 2, 4, 5}, torch::kDouble);
  }

  // The result [B, H, T, D], 0 where no token is, and the gradients of the inputs.
  [[nodiscard]] std::vector<at::Tensor> run(AttentionKind kind) const { return run(kind, mask_); }
  [[nodiscard]] std::vector<at::Tensor> run(AttentionKind kind, const TokenMask& mask) const {
    std::vector<at::Tensor> leaves;
    std::vector<at::Tensor> qkv;
    for (const at::Tensor& x : inputs_) {
      leaves.push_back(x.clone().requires_grad_(true));
      const bool packed = kind == AttentionKind::kPacked;
      qkv.push_back(packed ? mask.pack(leaves.back().transpose(1, 2)) : leaves.back());
    }
    at::Tensor result = attention(kind, qkv[0], qkv[1], qkv[2], mask, /*dropout=*/0);
    if (kind == AttentionKind::kPacked) result = mask.unpack(result).transpose(1, 2);
    result = result * mask.present().unsqueeze(1).unsqueeze(-1);
    result.square().sum().backward();
    std::vector<at::Tensor> all = {result.detach()};
    for (const at::Tensor& leaf : leaves) all.push_back(leaf.grad());
    return all;
  }

  at::Tensor inputs_[3];
  const TokenMask mask_{torch::tensor({{1, 1, 1, 1}, {1, 1, 0, 0}, {1, 0, 0, 0}}, torch::kLong)};
};

// The first sample by hand, without a mask; the second as one of two tokens.
TEST_P(AttentionTest, IsTheSoftmaxOfProductsOverTheTokensThatAreThere) {
  const at::Tensor found = run(GetParam())[0];
  const auto by_hand = [&](int sample, std::int64_t tokens) {
    const auto part = [&](int i) { return inputs_[i][sample].narrow(1, 0, tokens); };
    const at::Tensor weights =
        (part(0).matmul(part(1).transpose(1, 2)) / std::sqrt(5.0)).softmax(-1);
    return weights.matmul(part(2));
  };
  EXPECT_TRUE(torch::allclose(found[0], by_hand(0, 4), 0, 1e-12));
  EXPECT_TRUE(torch::allclose(found[1].narrow(1, 0, 2), by_hand(1, 2), 0, 1e-12));
  EXPECT_TRUE(torch::allclose(found[2].narrow(1, 0, 1), inputs_[2][2].narrow(1, 0, 1), 0, 1e-12));
}

TEST_P(AttentionTest, HasTheGradientsOfThePlainOne) {
  const std::vector<at::Tensor> expected = run(AttentionKind::kPlain);
  const std::vector<at::Tensor> found = run(GetParam());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(torch::allclose(found[i], expected[i], 0, 1e-12)) << i;
  }
}

TEST_P(AttentionTest, IsTheSameWithPlacesThatTheBatchHas) {
  SampleList batch = batch_of(3);
  add_token_places(batch, mask_.present());
  const std::vector<at::Tensor> expected = run(AttentionKind::kPlain);
  const std::vector<at::Tensor> found = run(GetParam(), TokenMask(mask_.present(), batch));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(torch::allclose(found[i], expected[i], 0, 1e-12)) << i;
  }
}

// 0, also as gradients, and nothing of it in the other samples.
TEST_P(AttentionTest, OfASampleWithoutTokensIsZero) {
  const TokenMask mask(torch::tensor({{1, 1, 1, 1}, {0, 0, 0, 0}, {1, 0, 0, 0}}, torch::kLong));
  const std::vector<at::Tensor> found = run(GetParam(), mask);
  const std::vector<at::Tensor> expected = run(GetParam());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_TRUE(found[i][1].equal(torch::zeros({2, 4, 5}, torch::kDouble))) << i << found[i][1];
    for (const int sample : {0, 2}) {
      EXPECT_TRUE(torch::allclose(found[i][sample], expected[i][sample], 0, 1e-12)) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, AttentionTest,
                         ::testing::Values(AttentionKind::kSdpa, AttentionKind::kPlain,
                                           AttentionKind::kPacked));

TEST(AttentionDropoutTest, LeavesOutThatShareOfTheWeights) {
  torch::manual_seed(5);
  const at::Tensor zero = torch::zeros({1, 1, 50, 4});
  at::Tensor weights;
  const TokenMask mask(torch::ones({1, 50}));
  // Of equal tokens every weight is 1/50; the result is the sum of those that stay, over 1 - 0.25.
  const at::Tensor result = attention(AttentionKind::kPlain, zero, zero, torch::ones_like(zero),
                                      mask, /*dropout=*/.25, &weights);
  EXPECT_NEAR(weights[0][0][0][0].item<double>(), 1 / 50.0, 1e-6);
  // 2500 weights: the mean's deviation is sqrt(.25 / .75 / 2500) = 0.0115.
  EXPECT_NEAR(result.mean().item<double>(), 1, 5 * 0.0115);
  EXPECT_GT(result.std().item<double>(), 0.02);
}

TEST(BertWeightsTest, BeginAsTheConfigSays) {
  BertConfig config;
  config.vocab_size = 400;
  config.hidden_size = 64;
  config.max_position_embeddings = 64;
  BertEmbeddings embeddings(config);
  init_bert_weights(embeddings, 0.5);
  // 25,600 numbers: the deviation of their deviation is 0.5 / sqrt(2 * 25600) = 0.0022.
  EXPECT_NEAR(embeddings.word_weight().std().item<double>(), 0.5, 5 * 0.0022);
  EXPECT_EQ(embeddings.word_weight()[0].abs().sum().item<double>(), 0);  // padding
}

TEST(BertGroupsTest, ATensorWithTwoNamesIsInOneGroupOnce) {
  BertConfig config;
  config.vocab_size = 10;
  config.hidden_size = 4;
  torch::nn::Module root("root");
  const auto embeddings = nest(root, "embeddings", std::make_shared<BertEmbeddings>(config));
  nest(root, "cls", std::make_shared<BertLmHead>(config, embeddings->word_weight()));
  const Config optimizer(
      Value::Table{{"params", Value::Table{{"lr", 1.0}, {"weight_decay", 0.25}}}});
  const auto groups =
      bert_parameter_groups(root, optimizer, [](const std::string&) { return 1.0; });
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_THAT(groups[0].names,
              ElementsAre("embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias", "cls.bias",
                          "cls.transform.dense.bias", "cls.transform.LayerNorm.weight",
                          "cls.transform.LayerNorm.bias"));
  EXPECT_THAT(
      groups[1].names,
      ElementsAre("embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight",
                  "embeddings.token_type_embeddings.weight", "cls.transform.dense.weight"));
  EXPECT_EQ(*groups[0].options.find("weight_decay"), Value(0.0));
  EXPECT_EQ(*groups[1].options.find("weight_decay"), Value(0.25));
}

}  // namespace
}  // namespace pergola::nn
