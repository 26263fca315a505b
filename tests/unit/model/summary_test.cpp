// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/summary.h"

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using testing::ElementsAre;

// encoder: a linear layer (3 * 3 + 3 elements) that `text` shares, and a batch norm (3 + 3
// parameters, 3 + 3 statistics of 4 bytes, one count of 8); scale: a parameter of its own.
class ModelToSummarize final : public BaseModel {
 public:
  ModelToSummarize() : BaseModel(Config(Value(Value::Table{}), "model_config.model")) {}
  void build() override {
    const auto encoder = std::make_shared<torch::nn::Module>();
    const torch::nn::Linear linear = encoder->register_module("linear", torch::nn::Linear(3, 3));
    encoder->register_module("norm", torch::nn::BatchNorm1d(3));
    register_module("encoder", encoder);
    register_module("text", linear);
    scale = register_parameter("scale", torch::ones({2}));
  }
  ModelOutput forward(const SampleList& /*batch*/) override { return {}; }

  at::Tensor scale;
};

std::vector<std::string> names_of(const ModelSummary& summary) {
  std::vector<std::string> names;
  for (const ModelPart& part : summary.parts) names.push_back(part.name);
  return names;
}

TEST(SummaryTest, CountsEachTensorOnceForThePartThatHasItFirst) {
  ModelToSummarize model;
  model.build();
  const ModelSummary summary = summarize(model);
  EXPECT_EQ(summary.parameters, 12 + 6 + 2);
  EXPECT_EQ(summary.parameters, model.num_parameters());
  EXPECT_EQ(summary.trained, 20);
  EXPECT_EQ(summary.bytes, 20 * 4 + 6 * 4 + 8);
  EXPECT_THAT(names_of(summary), ElementsAre("scale", "encoder"));  // nothing is left for `text`
}

TEST(SummaryTest, FrozenParametersAreNotTrained) {
  ModelToSummarize model;
  model.build();
  model.scale.set_requires_grad(false);
  const ModelSummary summary = summarize(model);
  EXPECT_EQ(summary.trained, 18);
  EXPECT_EQ(summary.parts[0].trained, 0);
  EXPECT_EQ(summary.parts[1].trained, 18);
}

TEST(SummaryTest, TotalSaysElementsAndSize) {
  ModelSummary summary;
  summary.parameters = 112044290;
  summary.trained = 94000;
  summary.bytes = 4 * summary.parameters;  // 448,177,160 / 1,048,576 = 427.4
  EXPECT_EQ(summary.total(), "112044290 parameters (112.0 M, 427.4 MiB), 94000 of them trained");
  summary.parameters = 978;
  summary.bytes = 3912;
  EXPECT_EQ(summary.total(), "978 parameters (0.0 MiB), 94000 of them trained");
}

TEST(SummaryTest, TableHasALineForEachPartAndOneForAll) {
  ModelSummary summary{1500, 1000, 6 << 20, {{"encoder", 1400, 900, 5 << 20}, {"head", 100, 100}}};
  EXPECT_EQ(summary.table(),
            "part     parameters  trained  MiB\n"
            "encoder        1400      900  5.0\n"
            "head            100      100  0.0\n"
            "all            1500     1000  6.0");
}

}  // namespace
}  // namespace pergola::host
