// SPDX-License-Identifier: BSD-3-Clause
// VisualBERT against Hugging Face's VisualBertForQuestionAnswering.
#include "plugins/visual_bert_golden.h"

#include <torch/optim/adamw.h>

namespace pergola::visual_bert {
namespace {

class VisualBertGolden : public ::testing::TestWithParam<const char*> {
 protected:
  [[nodiscard]] at::Tensor loss() { return golden_loss(model_->forward(batch_).scores); }

  // `of_largest`: the tolerance counts in the largest number of each tensor.
  void expect_outputs(double tolerance, bool of_largest) {
    const ModelOutput output = model_->forward(batch_);
    const auto expect_close = [&](const at::Tensor& found, const at::Tensor& expected,
                                  const std::string& name) {
      const double unit = of_largest ? expected.abs().max().item<double>() : 1;
      const at::Tensor difference = (found.to(torch::kDouble) - expected).abs();
      EXPECT_LE(difference.max().item<double>(), tolerance * unit) << name;
    };
    const at::Tensor regions = torch::arange(4).lt(torch::tensor({{4}, {2}, {3}}));
    const at::Tensor there = torch::cat({batch_.tensor("input_mask").ne(0), regions}, 1);
    ASSERT_EQ(golden().at("hidden").size(), 5);
    for (const auto& [name, expected] : golden().at("hidden").items()) {
      expect_close(output.fields.at(name).index({there}),
                   numbers(expected).view({3, 11, -1}).index({there}), name);
    }
    auto* pooler = model_->named_modules()["model.bert.pooler"]->as<nn::BertPooler>();
    expect_close(pooler->forward(output.fields.at("hidden_states_4")).flatten(),
                 numbers(golden().at("pooled")), "pooled");
    expect_close(output.scores.flatten(), numbers(golden().at("scores")), "scores");
  }

  std::shared_ptr<VisualBert> model_ =
      build_golden({"pooler_strategy = \"vqa\"", test::attention_key(GetParam())});
  SampleList batch_ = test::as_wanted(GetParam(), *model_, golden_batch());
};

// The hidden states of all layers, in places with a word or a region (what stands in the padding
// means nothing), the pooled ones and the scores.
TEST_P(VisualBertGolden, HiddenStatesPooledOutputAndScores) {
  expect_outputs(1e-5, /*of_largest=*/false);
}

// To 2e-2 of a tensor's largest number: bfloat16 has three digits of each.
TEST_P(VisualBertGolden, OutputsInBfloat16) {
  model_->to(torch::kBFloat16);
  batch_.set_field("image_feature_0", batch_.tensor("image_feature_0").to(torch::kBFloat16));
  expect_outputs(2e-2, /*of_largest=*/true);
}

TEST_P(VisualBertGolden, GradientsOfEveryParameter) {
  const at::Tensor value = loss();
  EXPECT_NEAR(value.item<double>(), golden().at("loss").get<double>(), 1e-5);
  value.backward();
  expect_tensors(*model_, golden().at("gradients"), What::kGradients);
}

TEST_P(VisualBertGolden, TenStepsOfAdamW) {
  std::vector<torch::optim::OptimizerParamGroup> groups;
  const Config config(Value::Table{{"params", Value::Table{{"lr", 1e-3}}}});
  for (const ParameterGroup& group : model_->optimizer_parameters(config)) {
    auto options = std::make_unique<torch::optim::AdamWOptions>(1e-3);
    // 100 times the group's own, which ten steps would not show.
    options->weight_decay(100 * group.options.find("weight_decay")->as_float());
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
  expect_tensors(*model_, golden().at("trained"), What::kParameters);
}

INSTANTIATE_TEST_SUITE_P(All, VisualBertGolden, ::testing::ValuesIn(test::kAttentions));

}  // namespace
}  // namespace pergola::visual_bert
