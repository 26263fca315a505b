// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/builtins.h"

#include "host/data/registration.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace pergola::host {
namespace {

// All that the host brings, one kind after the other.
class BuiltinsTest : public testing::TestWithParam<Kind> {
 protected:
  BuiltinsTest() {
    registry_.publish(builtin_data(), "host");
    registry_.publish(builtin_model_parts(), "host");
  }
  Registry registry_;
};
INSTANTIATE_TEST_SUITE_P(Kinds, BuiltinsTest,
                         testing::Values(Kind::kLoss, Kind::kMetric, Kind::kDataset,
                                         Kind::kProcessor, Kind::kOptimizer, Kind::kScheduler),
                         [](const auto& param) { return std::string(kind_name(param.param)); });

// `pergola list` prints them.
TEST_P(BuiltinsTest, SayWhatTheyAreAndWhatTheyTake) {
  const std::vector<std::string> keys = registry_.keys(GetParam());
  EXPECT_FALSE(keys.empty());
  for (const std::string& key : keys) {
    const std::optional<ComponentSpec>& spec = registry_.spec(GetParam(), key);
    ASSERT_TRUE(spec.has_value()) << key;
    EXPECT_GT(spec->summary.size(), 10U) << key;
    EXPECT_EQ(spec->summary.find('\n'), std::string::npos) << key;
    for (const ParamSpec& param : spec->params) {
      EXPECT_GT(param.meaning.size(), 4U) << key << " " << param.name;
      EXPECT_EQ(param.meaning.find('\n'), std::string::npos) << key << " " << param.name;
    }
  }
}

// A default that its own bounds refuse would show only to who writes it into a config.
TEST_P(BuiltinsTest, DefaultsAreWithinTheirBounds) {
  for (const std::string& key : registry_.keys(GetParam())) {
    const ComponentSpec& spec = *registry_.spec(GetParam(), key);
    Value defaults{Value::Table{}};
    for (const ParamSpec& param : spec.params) {
      if (!param.fallback.is_null()) defaults[param.name] = param.fallback;
      if (param.need == ParamSpec::Need::kRequired && param.type == Value::Type::kFloat) {
        defaults[param.name] = 0.5;
      } else if (param.need == ParamSpec::Need::kRequired && param.type == Value::Type::kInteger) {
        defaults[param.name] = 10;
      } else if (param.need == ParamSpec::Need::kRequired && param.type == Value::Type::kString) {
        defaults[param.name] = "a word";
      } else if (param.need == ParamSpec::Need::kRequired) {
        defaults[param.name] = Value::Array{};
      }
    }
    EXPECT_NO_THROW(static_cast<void>(spec.complete(Config(defaults)))) << key;
  }
}

TEST(BuiltinKeysTest, AllOfMmfsLossesAreThere) {
  Registry registry;
  registry.publish(builtin_model_parts(), "host");
  const std::vector<std::string> keys = registry.keys(Kind::kLoss);
  EXPECT_EQ(keys.size(), 23U);
  for (const char* key : {"logit_bce",
                          "triple_logit_bce",
                          "bce",
                          "caption_cross_entropy",
                          "nll_loss",
                          "multi",
                          "attention_supervision",
                          "weighted_softmax",
                          "softmax_kldiv",
                          "wrong",
                          "bce_kl_combined",
                          "bce_kl",
                          "m4c_decoding_bce_with_mask",
                          "cross_entropy",
                          "soft_label_cross_entropy",
                          "label_smoothing_cross_entropy",
                          "in_batch_hinge",
                          "contrastive_loss",
                          "mse",
                          "cos_emb_loss",
                          "ms_loss",
                          "refiner_ms",
                          "refiner_contrastive_loss"}) {
    EXPECT_TRUE(registry.has(Kind::kLoss, key)) << key;
  }
}

TEST(BuiltinKeysTest, AllOfMmfsMetricsThatNeedNoOtherProgramAreThere) {
  Registry registry;
  registry.publish(builtin_model_parts(), "host");
  for (const char* key : {"accuracy",
                          "topk_accuracy",
                          "caption_bleu4",
                          "vqa_accuracy",
                          "vqa_evalai_accuracy",
                          "textvqa_accuracy",
                          "stvqa_anls",
                          "stvqa_accuracy",
                          "ocrvqa_accuracy",
                          "r@1",
                          "r@5",
                          "r@10",
                          "mean_r",
                          "mean_rr",
                          "r@k_retrieval",
                          "r@1_retrieval",
                          "r@5_retrieval",
                          "r@10_retrieval",
                          "r@1_rev_retrieval",
                          "r@5_rev_retrieval",
                          "r@10_rev_retrieval",
                          "f1",
                          "macro_f1",
                          "micro_f1",
                          "binary_f1",
                          "multilabel_f1",
                          "multilabel_micro_f1",
                          "multilabel_macro_f1",
                          "f1_precision_recall",
                          "binary_f1_precision_recall",
                          "macro_f1_precision_recall",
                          "micro_f1_precision_recall",
                          "roc_auc",
                          "macro_roc_auc",
                          "micro_roc_auc",
                          "ap",
                          "macro_ap",
                          "micro_ap",
                          "binary_ap",
                          "r@pk",
                          "detection_mean_ap"}) {
    EXPECT_TRUE(registry.has(Kind::kMetric, key)) << key;
  }
}

}  // namespace
}  // namespace pergola::host
