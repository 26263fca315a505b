// SPDX-License-Identifier: BSD-3-Clause
// VisualBERT against Hugging Face's VisualBertForQuestionAnswering.
#include "plugins/visual_bert_golden.h"

#include <torch/optim/adamw.h>

namespace pergola::visual_bert {
namespace {

class VisualBertGolden : public ::testing::TestWithParam<const char*> {
 protected:
  [[nodiscard]] at::Tensor loss() { return golden_loss(model_->forward(batch_).scores); }

  std::shared_ptr<VisualBert> model_ =
      build_golden({"pooler_strategy = \"vqa\"", concat("attention = \"", GetParam(), "\"")});
  SampleList batch_ = golden_batch();
};

// Words and regions that are there; what stands in the padding means nothing.
TEST_P(VisualBertGolden, HiddenStatesPooledOutputAndScores) {
  const ModelOutput output = model_->forward(batch_);
  const at::Tensor hidden = output.fields.at("hidden_states_4");
  const at::Tensor expected = numbers(golden().at("hidden")).view({3, 11, 32}).to(torch::kFloat);
  const std::int64_t words[] = {7, 5, 4};
  const std::int64_t regions[] = {4, 2, 3};
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(
        testing::close(hidden[i].narrow(0, 0, words[i]), expected[i].narrow(0, 0, words[i]), 1e-5));
    EXPECT_TRUE(testing::close(hidden[i].narrow(0, 7, regions[i]),
                               expected[i].narrow(0, 7, regions[i]), 1e-5));
  }
  const at::Tensor pooled =
      torch::linear(hidden.select(1, 0),
                    model_->named_parameters()["model.bert.pooler.dense.weight"],
                    model_->named_parameters()["model.bert.pooler.dense.bias"])
          .tanh();
  EXPECT_TRUE(
      testing::close(pooled.flatten().to(torch::kDouble), numbers(golden().at("pooled")), 1e-5));
  EXPECT_TRUE(testing::close(output.scores.flatten().to(torch::kDouble),
                             numbers(golden().at("scores")), 1e-5));
}

TEST_P(VisualBertGolden, ScoresInBfloat16) {
  model_->to(torch::kBFloat16);
  batch_.set_field("image_feature_0", batch_.tensor("image_feature_0").to(torch::kBFloat16));
  const at::Tensor scores = model_->forward(batch_).scores.flatten().to(torch::kDouble);
  EXPECT_TRUE(testing::close(scores, numbers(golden().at("scores")), 2e-2))
      << scores - numbers(golden().at("scores"));
}

TEST_P(VisualBertGolden, GradientsOfEveryParameter) {
  const at::Tensor value = loss();
  EXPECT_NEAR(value.item<double>(), golden().at("loss").get<double>(), 1e-5);
  value.backward();
  expect_projections(*model_, golden().at("gradients"), What::kGradients);
}

TEST_P(VisualBertGolden, TenStepsOfAdamW) {
  std::vector<torch::optim::OptimizerParamGroup> groups;
  const Config config(Value::Table{{"params", Value::Table{{"lr", 1e-3}}}});
  for (const ParameterGroup& group : model_->optimizer_parameters(config)) {
    auto options = std::make_unique<torch::optim::AdamWOptions>(1e-3);
    options->weight_decay(group.options.find("weight_decay")->as_float());
    groups.emplace_back(group.parameters, std::move(options));
  }
  torch::optim::AdamW optimizer(groups, torch::optim::AdamWOptions(1e-3));
  for (const nlohmann::json& expected : golden().at("losses")) {
    optimizer.zero_grad();
    const at::Tensor value = loss();
    EXPECT_NEAR(value.item<double>(), expected.get<double>(), 1e-4);
    value.backward();
    optimizer.step();
  }
  expect_projections(*model_, golden().at("trained"), What::kParameters);
}

INSTANTIATE_TEST_SUITE_P(All, VisualBertGolden, ::testing::Values("sdpa", "plain", "packed"));

}  // namespace
}  // namespace pergola::visual_bert
