// SPDX-License-Identifier: BSD-3-Clause
// The six poolers against tools/reference/fusions.py, and what padding, halves and bad configs do.
#include "host/device/waiting_operations.h"
#include "pergola/nn/poolers.h"
#include "plugins/model_testing.h"
#include "unit/sdk/data_error.h"
#include "unit/sdk/nn_golden.h"

#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace pergola::nn {
namespace {

using pergola::test::error_of;
using pergola::test::noise;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Table = Value::Table;

PoolerConfig pooler_config(const std::string& type, const Table& params) {
  return PoolerConfig::parse(part_config(type, params), "part");
}

std::string pooler_problem(const std::string& type, const Table& params) {
  return error_of(ErrorKind::kConfig, [&] { static_cast<void>(pooler_config(type, params)); });
}

// Three layers of two samples, of 4 tokens and of 2.
class PoolerTest : public ::testing::Test {
 protected:
  PoolerTest() {
    for (double k = 400; k < 403; ++k) layers_.push_back((noise(24, k) * 5).view({2, 4, 3}));
  }

  std::vector<at::Tensor> layers_;
  const TokenMask mask_{torch::tensor({{1, 1, 1, 1}, {1, 1, 0, 0}}, torch::kLong)};
};

TEST_F(PoolerTest, ResultsAreTheReferences) {
  ASSERT_EQ(golden().at("poolers").size(), 10U);
  for (const nlohmann::json& one : golden().at("poolers")) {
    SCOPED_TRACE(one.at("type").dump() + one.at("params").dump());
    const PoolerConfig config =
        pooler_config(one.at("type"), to_value(one.at("params")).as_table());
    const ::pergola::host::WaitingOperations watch;
    const at::Tensor found = pool(config, layers_, mask_);
    EXPECT_THAT(watch.counts(), IsEmpty());
    EXPECT_EQ(found.sizes().vec(), one.at("shape").get<std::vector<std::int64_t>>());
    EXPECT_EQ(found.size(-1), config.out_dim(3));
    EXPECT_LT(difference(found, numbers(one.at("output"))), 1e-12);
  }
}

TEST_F(PoolerTest, WhatStandsInPaddingMeansNothing) {
  std::vector<at::Tensor> spoiled;
  for (const at::Tensor& layer : layers_) {
    const at::Tensor padding = mask_.present().logical_not().unsqueeze(2);
    spoiled.push_back(layer.masked_fill(padding, std::numeric_limits<double>::quiet_NaN()));
  }
  for (const char* type :
       {"average_concat_last_k", "average_k_from_last", "average_sum_last_k", "cls", "avg"}) {
    PoolerConfig config = pooler_config(type, {});
    config.k = 2;
    EXPECT_TRUE(pool(config, spoiled, mask_).equal(pool(config, layers_, mask_))) << type;
  }
}

// Of the sum over both layers, each number of a token counts 1 / (tokens + tol).
TEST_F(PoolerTest, GradientsGoToTheTokensThatAreThere) {
  for (at::Tensor& layer : layers_) layer.requires_grad_(true);
  pool(pooler_config("average_sum_last_k", {{"k", 2}, {"tol", 0.5}}), layers_, mask_)
      .sum()
      .backward();
  EXPECT_FALSE(layers_[0].grad().defined());
  const at::Tensor expected = torch::tensor({{1., 1., 1., 1.}, {1., 1., 0., 0.}}, torch::kDouble) /
                              torch::tensor({{4.5}, {2.5}}, torch::kDouble);
  for (std::size_t i = 1; i < 3; ++i) {
    EXPECT_TRUE(torch::allclose(layers_[i].grad(), expected.unsqueeze(2).expand({2, 4, 3})));
  }
}

TEST_F(PoolerTest, ASampleWithoutATokenGivesZero) {
  const TokenMask none(torch::zeros({2, 4}));
  for (const char* type :
       {"average_concat_last_k", "average_k_from_last", "average_sum_last_k", "avg"}) {
    PoolerConfig config = pooler_config(type, {});
    config.k = 2;
    config.tol = 0;
    EXPECT_EQ(pool(config, layers_, none).abs().sum().item<double>(), 0) << type;
  }
}

// bfloat16 counts no further than 256: the average in it would be 0.256.
TEST_F(PoolerTest, HalvesAreAveragedInSinglePrecisionAndStayHalves) {
  const at::Tensor ones = torch::ones({1, 1000, 2}, torch::kBFloat16);
  const TokenMask mask(torch::ones({1, 1000}));
  for (const char* type : {"average_sum_last_k", "avg"}) {
    PoolerConfig config = pooler_config(type, {});
    config.k = 1;
    const at::Tensor found = pool(config, {ones}, mask);
    EXPECT_EQ(found.scalar_type(), torch::kBFloat16);
    EXPECT_TRUE(found.equal(torch::ones({1, 2}, torch::kBFloat16))) << type;
  }
}

// MMF's own test of its poolers.
TEST(PoolerShapesTest, AreMmfs) {
  const std::vector<at::Tensor> layers(3, torch::randn({64, 10, 768}));
  const TokenMask mask(torch::randn({64, 10}));
  const auto sizes = [&](const char* type) {
    return pool(pooler_config(type, {{"k", 2}}), layers, mask).sizes().vec();
  };
  EXPECT_THAT(sizes("average_concat_last_k"), ElementsAre(64, 2 * 768));
  EXPECT_THAT(sizes("average_k_from_last"), ElementsAre(64, 768));
  EXPECT_THAT(sizes("average_sum_last_k"), ElementsAre(64, 768));
}

TEST(PoolerConfigTest, DefaultsAreMmfs) {
  EXPECT_EQ(pooler_config("average_concat_last_k", {}).k, 4);
  EXPECT_EQ(pooler_config("average_k_from_last", {}).k, 2);
  EXPECT_EQ(pooler_config("average_sum_last_k", {}).k, 4);
  EXPECT_EQ(pooler_config("average_sum_last_k", {}).tol, 1e-6);
  EXPECT_EQ(pooler_config("cls", {}).cls_index, 0);
  const Config name(Table{{"part", "avg"}}, "model_config.m");
  EXPECT_EQ(PoolerConfig::parse(name, "part").type, PoolerType::kAvg);
}

TEST(PoolerConfigTest, WhatNoPoolerHasIsRefused) {
  EXPECT_EQ(pooler_problem("average", {}),
            "model_config.m.part has type 'average', which is not a pooler; known are "
            "average_concat_last_k, average_k_from_last, average_sum_last_k, identity, cls, avg");
  EXPECT_THAT(pooler_problem("clss", {}), HasSubstr("which is not a pooler; did you mean 'cls'?"));
  EXPECT_THAT(pooler_problem("avg", {{"k", 2}}),
              HasSubstr("model_config.m.part.params.k is not a known key"));
  EXPECT_THAT(pooler_problem("identity", {{"dim", 1}}), HasSubstr("params.dim is not a known key"));
  EXPECT_THAT(pooler_problem("average_sum_last_k", {{"k", 0}}),
              HasSubstr("k = 0 is out of range; expected 1 to 1024"));
  EXPECT_THAT(pooler_problem("average_sum_last_k", {{"tol", -1}}), HasSubstr("expected 0 to 1"));
  EXPECT_THAT(pooler_problem("cls", {{"dim", 2}}),
              HasSubstr("dim = 2 is out of range; expected 1 to 1"));
}

TEST_F(PoolerTest, MoreLayersThanThereAreAreRefused) {
  const auto refusal = [&](const char* type, const Table& params) {
    return error_of(ErrorKind::kConfig,
                    [&] { static_cast<void>(pool(pooler_config(type, params), layers_, mask_)); });
  };
  EXPECT_EQ(refusal("average_k_from_last", {{"k", 5}}),
            "model_config.m.part.params.k = 5 asks for layer 5 from the last; the encoder has 3; "
            "set k to at most that");
  EXPECT_THAT(refusal("average_concat_last_k", {}), HasSubstr("asks for layer 4 from the last"));
  EXPECT_EQ(refusal("cls", {{"cls_index", 4}}),
            "model_config.m.part.params.cls_index = 4 names no token; there are 4 in a sample");
  EXPECT_THAT(refusal("cls", {{"cls_index", -5}}), HasSubstr("cls_index = -5 names no token"));
}

TEST_F(PoolerTest, OtherShapesAreRefused) {
  const auto refusal = [&](const std::vector<at::Tensor>& layers) {
    return data_error([&] { static_cast<void>(pool(pooler_config("cls", {}), layers, mask_)); });
  };
  EXPECT_EQ(refusal({}), "a pooler got no hidden states of any layer");
  EXPECT_EQ(refusal({torch::zeros({2, 3, 5})}),
            "a pooler got hidden states of the shape [2, 3, 5] with a mask of [2, 4]; expected "
            "[batch, tokens, width], of one width in all layers, and [batch, tokens]");
  EXPECT_THAT(refusal({torch::zeros({2, 4})}), HasSubstr("of the shape [2, 4] with"));
  EXPECT_THAT(refusal({torch::zeros({2, 4, 5}), torch::zeros({2, 4, 6})}),
              HasSubstr("of the shape [2, 4, 5] with"));
}

}  // namespace
}  // namespace pergola::nn
