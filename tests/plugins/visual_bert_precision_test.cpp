// SPDX-License-Identifier: BSD-3-Clause
// VisualBERT in low precision, and with recompute.
#include "plugins/precision.h"
#include "plugins/recompute.h"
#include "plugins/visual_bert_mini.h"

namespace pergola::visual_bert {
namespace {

using test::logit_bce;

class VisualBertPrecision : public ::testing::TestWithParam<const char*> {
 protected:
  [[nodiscard]] static std::string attention() { return test::attention_key(GetParam()); }
  [[nodiscard]] static at::Tensor loss(VisualBert& model) {
    const SampleList batch = test::as_wanted(GetParam(), model, mini_batch());
    return logit_bce(model.forward(batch).scores, torch::ones({2, 5}));
  }
};

TEST_P(VisualBertPrecision, TrainsInLowPrecision) {
  const auto model = build_random(attention());
  const auto of_model = [&] { return loss(*model); };
  test::expect_trains_in(host::Precision::kBf16, *model, test::kBf16Bound, of_model);
  test::expect_trains_in(host::Precision::kFp16, *model, test::kFp16Bound, of_model);
}

TEST_P(VisualBertPrecision, RecomputeChangesNothing) {
  for (const host::Precision precision : {host::Precision::kFp32, host::Precision::kBf16}) {
    test::expect_recompute_changes_nothing<VisualBert>(
        [] {
          return build_random(concat(
              attention(), "\nhidden_dropout_prob = 0.2\nattention_probs_dropout_prob = 0.1"));
        },
        [&](VisualBert& model) {
          const host::AutocastScope scope(at::kCPU, precision);
          return loss(model);
        });
  }
}

INSTANTIATE_TEST_SUITE_P(All, VisualBertPrecision, ::testing::ValuesIn(test::kAttentions),
                         [](const auto& param) { return std::string(param.param); });

// What is frozen is run once: nobody wants a gradient of it.
TEST(VisualBertRecomputeTest, AFrozenBaseIsNotRunAgain) {
  const auto model = build_random("freeze_base = true");
  EXPECT_TRUE(model->enable_recompute());
  const at::Tensor scores = model->forward(mini_batch()).scores;
  EXPECT_TRUE(scores.requires_grad());
  EXPECT_FALSE(test::graph_has(scores, "pergola::nn::recompute"));
}

TEST(VisualBertRecomputeTest, AttentionsThatAreWantedAreThere) {
  const auto model = build_random("attention = \"plain\"\noutput_attentions = true");
  EXPECT_TRUE(model->enable_recompute());
  const ModelOutput output = model->forward(mini_batch());
  EXPECT_TRUE(output.fields.contains("attentions_1"));
  EXPECT_FALSE(test::graph_has(output.scores, "pergola::nn::recompute"));
}

}  // namespace
}  // namespace pergola::visual_bert
