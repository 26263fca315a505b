// SPDX-License-Identifier: BSD-3-Clause
// VisualBERT against Hugging Face's (tools/reference/visual_bert.py has the model, the batch and
// the rule of the weights).
#include "plugins/model_testing.h"
#include "plugins/visual_bert/visual_bert.h"

#include <ATen/Parallel.h>
#include <torch/optim/adamw.h>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <map>

namespace pergola::visual_bert {
namespace {

using testing::noise;

constexpr const char* kModel = R"(
  text_vocab_size = 60
  num_labels = 7
  training_head_type = "classification"
  classifier = "linear"
  pooler_strategy = "vqa"
  hidden_size = 32
  num_hidden_layers = 4
  num_attention_heads = 4
  intermediate_size = 64
  max_position_embeddings = 24
  visual_embedding_dim = 12
  hidden_dropout_prob = 0.0
  attention_probs_dropout_prob = 0.0
  output_hidden_states = true
)";

const nlohmann::json& golden() {
  static const nlohmann::json golden =
      nlohmann::json::parse(std::ifstream(PERGOLA_GOLDEN_DIR "/visual_bert.json"));
  return golden;
}

at::Tensor numbers(const char* key) {
  return torch::tensor(golden().at(key).get<std::vector<double>>(), torch::kDouble);
}

// A tensor behind two names is there once, as in the reference.
std::map<std::string, at::Tensor> sorted_parameters(const VisualBert& model) {
  std::map<std::string, at::Tensor> sorted;
  for (const auto& item : model.named_parameters()) sorted.emplace(item.key(), item.value());
  return sorted;
}

at::Tensor projections(const at::Tensor& tensor, double k) {
  const at::Tensor flat = tensor.detach().to(torch::kDouble).flatten();
  return torch::stack({flat.sum(), (flat * noise(flat.numel(), 1000 + k)).sum()});
}

class VisualBertGolden : public ::testing::TestWithParam<const char*> {
 protected:
  VisualBertGolden() {
    at::set_num_threads(1);  // threads that wait for each other help no tensor of this size
    const torch::NoGradGuard no_grad;
    double k = 0;
    for (auto& [name, parameter] : sorted_parameters(*model_)) {
      const double start = name.ends_with("LayerNorm.weight") ? 1 : 0;
      parameter.copy_((noise(parameter.numel(), k++) + start).view(parameter.sizes()));
    }
    const at::Tensor words = torch::tensor({{7}, {5}, {4}}, torch::kLong);
    const at::Tensor places = torch::arange(7, torch::kLong);
    const at::Tensor mask = places.lt(words).to(torch::kLong);
    const at::Tensor ids = torch::arange(21, torch::kLong).view({3, 7}) * 17 % 59 + 1;
    batch_.add_field("input_ids", ids * mask);
    batch_.add_field("input_mask", mask);
    batch_.add_field("segment_ids", places.gt(3).to(torch::kLong) * mask);
    batch_.add_field("image_feature_0",
                     noise(3 * 4 * 12, 500).view({3, 4, 12}).to(torch::kFloat) * 5);
    SampleList info;
    info.add_field("max_features", torch::tensor(std::vector<std::int64_t>{4, 2, 3}));
    batch_.add_field("image_info_0", std::make_shared<const SampleList>(std::move(info)));
  }

  [[nodiscard]] at::Tensor loss() {
    const at::Tensor targets = noise(21, 600).view({3, 7}).gt(.05).to(torch::kFloat);
    return torch::binary_cross_entropy_with_logits(model_->forward(batch_).scores, targets) * 7;
  }

  enum class What { kParameters, kGradients };
  // Compares each of the reference's tensors, by its two sums.
  void expect_projections(const char* key, What what) {
    double k = 0;
    std::size_t compared = 0;
    const nlohmann::json& expected = golden().at(key);
    for (const auto& [name, parameter] : sorted_parameters(*model_)) {
      const double own_k = k++;
      if (!expected.contains(name)) continue;
      ++compared;
      // The gradient of a key's bias is rounding alone, which AdamW makes as large as any.
      if (what == What::kParameters && name.ends_with("key.bias")) continue;
      const at::Tensor& tensor = what == What::kGradients ? parameter.grad() : parameter;
      ASSERT_TRUE(tensor.defined()) << name;
      const at::Tensor found = projections(tensor, own_k);
      for (int i = 0; i < 2; ++i) {
        const double number = expected.at(name).at(static_cast<std::size_t>(i)).get<double>();
        EXPECT_NEAR(found[i].item<double>(), number, 1e-4 * std::max(1.0, std::abs(number)))
            << name;
      }
    }
    EXPECT_EQ(compared, expected.size());
  }

  std::shared_ptr<VisualBert> model_ = testing::build_model<VisualBert>(
      "visual_bert", {kModel, concat("attention = \"", GetParam(), "\"")});
  SampleList batch_;
};

// Words and regions that are there; what stands in the padding means nothing.
TEST_P(VisualBertGolden, HiddenStatesPooledOutputAndScores) {
  const ModelOutput output = model_->forward(batch_);
  const at::Tensor hidden = output.fields.at("hidden_states_4");
  const at::Tensor expected = numbers("hidden").view({3, 11, 32}).to(torch::kFloat);
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
  EXPECT_TRUE(testing::close(pooled.flatten().to(torch::kDouble), numbers("pooled"), 1e-5));
  EXPECT_TRUE(testing::close(output.scores.flatten().to(torch::kDouble), numbers("scores"), 1e-5));
}

TEST_P(VisualBertGolden, ScoresInBfloat16) {
  model_->to(torch::kBFloat16);
  batch_.set_field("image_feature_0", batch_.tensor("image_feature_0").to(torch::kBFloat16));
  const at::Tensor scores = model_->forward(batch_).scores.flatten().to(torch::kDouble);
  EXPECT_TRUE(testing::close(scores, numbers("scores"), 2e-2)) << scores - numbers("scores");
}

TEST_P(VisualBertGolden, GradientsOfEveryParameter) {
  const at::Tensor value = loss();
  EXPECT_NEAR(value.item<double>(), golden().at("loss").get<double>(), 1e-5);
  value.backward();
  expect_projections("gradients", What::kGradients);
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
  expect_projections("trained", What::kParameters);
}

INSTANTIATE_TEST_SUITE_P(All, VisualBertGolden, ::testing::Values("sdpa", "plain", "packed"));

}  // namespace
}  // namespace pergola::visual_bert
