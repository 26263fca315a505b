// SPDX-License-Identifier: BSD-3-Clause
// VisualBERT's other heads and options against Hugging Face's classes and layers.
#include "plugins/visual_bert_golden.h"

namespace pergola::visual_bert {
namespace {

using test::close;

// Words of each region, 3 images of 4: -1 for none.
at::Tensor golden_alignment() {
  return torch::tensor({{{0, -1}, {1, 2}, {-1, -1}, {6, 3}},
                        {{1, -1}, {2, 4}, {-1, -1}, {-1, -1}},
                        {{3, 3}, {-1, -1}, {0, 1}, {-1, -1}}},
                       torch::kLong);
}

class VisualBertHeads : public ::testing::TestWithParam<const char*> {
 protected:
  void build(const std::string& change) {
    model_ = build_golden({test::attention_key(GetParam()), change});
  }

  // Scores, their loss and all gradients.
  void expect_case(const char* name, const SampleList& batch) {
    const nlohmann::json& expected = golden().at("cases").at(name);
    const at::Tensor scores = model_->forward(test::as_wanted(GetParam(), *model_, batch)).scores;
    EXPECT_TRUE(close(scores.flatten().to(torch::kDouble), numbers(expected.at("scores")), 1e-5));
    expect_loss(expected, golden_loss(scores));
  }

  void expect_loss(const nlohmann::json& expected, const at::Tensor& loss) {
    EXPECT_NEAR(loss.item<double>(), expected.at("loss").get<double>(), 1e-5);
    loss.backward();
    expect_tensors(*model_, expected.at("gradients"), What::kGradients);
  }

  std::shared_ptr<VisualBert> model_;
};

// VisualBertForPreTraining. The model returns the loss alone; its logits are the head's.
TEST_P(VisualBertHeads, Pretraining) {
  build("training_head_type = \"pretraining\"");
  SampleList batch = golden_batch();
  const at::Tensor mask = batch.tensor("input_mask").to(torch::kBool);
  const at::Tensor masked = torch::arange(21).view({3, 7}).remainder(3).eq(1).logical_and(mask);
  batch.add_field("lm_label_ids", torch::where(masked, batch.tensor("input_ids"), -1));
  const ModelOutput output = model_->forward(test::as_wanted(GetParam(), *model_, batch));
  const nlohmann::json& expected = golden().at("cases").at("pretraining");
  const auto modules = model_->named_modules();
  auto* heads = modules["model.cls"]->as<nn::BertPretrainingHeads>();
  const at::Tensor hidden = output.fields.at("hidden_states_4").narrow(1, 0, 7);
  const at::Tensor logits = heads->forward(hidden).index({mask});  // of words that are there
  EXPECT_TRUE(close(logits.flatten().to(torch::kDouble), numbers(expected.at("scores")), 1e-5));
  expect_loss(expected, output.losses->at("train/golden/masked_lm_loss"));
}

// VisualBertForVisualReasoning: BERT's pooler, a linear head.
TEST_P(VisualBertHeads, DefaultPooler) {
  build("pooler_strategy = \"default\"");
  expect_case("visual_reasoning", golden_batch());
}

TEST_P(VisualBertHeads, AlignedRegions) {
  build("");
  SampleList batch = golden_batch();
  batch.add_field("image_text_alignment", golden_alignment());
  expect_case("alignment", batch);
}

// MMF's rule on VisualBertModel; each image has an alignment of its own.
TEST_P(VisualBertHeads, Nlvr2) {
  build("training_head_type = \"nlvr2\"");
  SampleList first = golden_image(500, {4, 2, 3});
  SampleList second = golden_image(501, {3, 4, 2});
  first.add_field("image_text_alignment", golden_alignment());
  second.add_field("image_text_alignment", golden_alignment().roll(1, 0));
  SampleList batch;
  add_golden_words(batch);
  batch.add_field("img0", std::make_shared<const SampleList>(std::move(first)));
  batch.add_field("img1", std::make_shared<const SampleList>(std::move(second)));
  expect_case("nlvr2", batch);
}

TEST_P(VisualBertHeads, BypassTransformer) {
  build("bypass_transformer = true");
  expect_case("bypass", golden_batch());
}

INSTANTIATE_TEST_SUITE_P(All, VisualBertHeads, ::testing::ValuesIn(test::kAttentions));

}  // namespace
}  // namespace pergola::visual_bert
