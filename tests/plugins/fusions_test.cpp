// SPDX-License-Identifier: BSD-3-Clause
#include "plugins/fusions/fusions.h"

#include "host/device/waiting_operations.h"
#include "pergola/registry.h"
#include "plugins/model_testing.h"
#include "plugins/recompute.h"

#include <torch/optim/adamw.h>

#include <nlohmann/json.hpp>

#include <fstream>
#include <limits>
#include <map>
#include <set>

namespace pergola::fusions {
namespace {

using test::close;
using test::error_of;
using test::noise;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// tools/reference/fusion_models.py's.
constexpr const char* kMini = R"(
  text_vocab_size = 40
  num_final_outputs = 3
  direct_features_input = true
  modal_hidden_size = 6
  num_features = 3
)";
constexpr const char* kMiniBert = R"(
  hidden_size = 16
  num_hidden_layers = 2
  num_attention_heads = 2
  intermediate_size = 32
  max_position_embeddings = 16
  hidden_dropout_prob = 0.0
  attention_probs_dropout_prob = 0.0
  initializer_range = 0.3
)";
constexpr const char* kHidden = "params = {num_layers = 1, hidden_dim = 8}";

std::shared_ptr<FusionModel> make(const std::string& name, const std::vector<std::string>& lines) {
  torch::manual_seed(3);
  if (name == "concat_bert") return test::build_model<ConcatBert>(name, lines, "fusions");
  if (name == "concat_bow") return test::build_model<ConcatBow>(name, lines, "fusions");
  return test::build_model<LateFusion>(name, lines, "fusions");
}

std::shared_ptr<FusionModel> build_mini(const std::string& name, const std::string& change = "") {
  std::vector<std::string> lines = {kMini};
  const bool late = name == "late_fusion";
  for (const char* key :
       late ? std::vector{"modal_classifier", "text_classifier"} : std::vector{"classifier"}) {
    lines.push_back(concat(key, ".", kHidden));
  }
  lines.push_back(name == "concat_bow" ? "text_hidden_size = 5" : kMiniBert);
  lines.push_back(change);
  return make(name, lines);
}

// Texts of five and of three words, three and two regions.
SampleList mini_batch() {
  SampleList batch;
  const at::Tensor mask =
      torch::arange(5).lt(torch::tensor({{5}, {3}}, torch::kLong)).to(torch::kLong);
  batch.add_field("input_ids", (torch::arange(10).view({2, 5}) * 7 % 39 + 1) * mask);
  batch.add_field("input_mask", mask);
  batch.add_field("segment_ids", torch::arange(5).gt(2).to(torch::kLong).repeat({2, 1}));
  batch.add_field("image_feature_0", noise(36, 500).view({2, 3, 6}).to(torch::kFloat) * 5);
  SampleList info;
  info.add_field("max_features", torch::tensor(std::vector<std::int64_t>{3, 2}));
  batch.add_field("image_info_0", std::make_shared<const SampleList>(std::move(info)));
  batch.set_dataset("mini", "train");
  return batch;
}

void fill_by_reference(FusionModel& model) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> sorted;
  for (const auto& item : model.named_parameters()) sorted.emplace(item.key(), item.value());
  double k = 0;
  for (auto& [name, parameter] : sorted) {
    const double start = parameter.dim() == 1 && name.ends_with("weight") ? 1 : 0;
    parameter.copy_((noise(parameter.numel(), k++) + start).view(parameter.sizes()));
  }
}

at::Tensor golden(const std::string& key) {
  static const nlohmann::json all =
      nlohmann::json::parse(std::ifstream(PERGOLA_GOLDEN_DIR "/fusion_models.json"));
  std::vector<float> numbers;
  for (const auto& row : all.at(key)) {
    for (const auto& number : row) numbers.push_back(number.get<float>());
  }
  return torch::tensor(numbers).view({2, 3});
}

std::vector<std::string> state_keys(const FusionModel& model) {
  std::vector<std::string> keys;
  for (const auto& [key, tensor] : state_dict(model)) keys.push_back(key);
  return keys;
}

TEST(FusionsTest, AnnounceThemselvesUnderTheirKeys) {
  std::vector<Announcement> nodes;
  for (const Announcement* node = take_announcements(); node != nullptr; node = node->next) {
    nodes.push_back(*node);
  }
  Registry registry;
  registry.publish(nodes, "fusions_test");
  const auto made = [&](const std::string& name) {
    return registry.make_model(name, test::model_config(name, {kMini}, "fusions"));
  };
  EXPECT_NE(dynamic_cast<ConcatBert*>(made("concat_bert").get()), nullptr);
  EXPECT_NE(dynamic_cast<ConcatBow*>(made("concat_bow").get()), nullptr);
  EXPECT_NE(dynamic_cast<LateFusion*>(made("late_fusion").get()), nullptr);
}

// BERT-base: words 30,522 * 768, positions 512 * 768, types 2 * 768, LayerNorm 2 * 768: 23,837,184;
// a layer 4 * (768 * 768 + 768) + 768 * 3072 + 3072 + 3072 * 768 + 768 + 4 * 768 = 7,087,872,
// twelve of them 85,054,464; pooler 768 * 768 + 768 = 590,592: together 109,482,240, in 5 + 12 * 16
// + 2 tensors and a buffer of position numbers. The classifier of 100 regions of 2048 and the text:
// 205,568 * 2 + 2 = 411,138, in two.
TEST(FusionsTest, ConcatBertHasMmfsKeysAndSize) {
  const auto model =
      make("concat_bert", {"vocab_size = 30522", "num_labels = 2", "direct_features_input = true"});
  EXPECT_EQ(model->num_parameters(), 109'482'240 + 411'138);
  const std::vector<std::string> keys = state_keys(*model);
  EXPECT_THAT(keys, SizeIs(200 + 2));
  const std::set<std::string> found(keys.begin(), keys.end());
  for (const char* key :
       {"base.text.embeddings.position_ids", "base.text.embeddings.word_embeddings.weight",
        "base.text.embeddings.LayerNorm.bias",
        "base.text.encoder.layer.11.attention.self.query.weight",
        "base.text.encoder.layer.0.attention.output.LayerNorm.weight",
        "base.text.encoder.layer.11.output.dense.bias", "base.text.pooler.dense.weight",
        "classifier.layers.0.weight", "classifier.layers.0.bias"}) {
    EXPECT_TRUE(found.contains(key)) << key;
  }
}

// A table of 100 words of 300 numbers, and (100 * 2048 + 300) * 2 + 2 of the classifier.
TEST(FusionsTest, ConcatBowHasMmfsKeysAndSize) {
  const auto model = make(
      "concat_bow", {"text_vocab_size = 100", "num_labels = 2", "direct_features_input = true"});
  EXPECT_EQ(model->num_parameters(), 30'000 + 410'202);
  EXPECT_THAT(state_keys(*model),
              ElementsAre("base.text.module.module.module.weight", "classifier.layers.0.weight",
                          "classifier.layers.0.bias"));
}

TEST(FusionsTest, LateFusionHasMmfsClassifiers) {
  std::vector<std::string> keys = state_keys(*build_mini("late_fusion",
                                                         "modal_classifier.params."
                                                         "num_layers = 0"));
  std::erase_if(keys, [](const std::string& key) { return key.starts_with("base.text."); });
  EXPECT_THAT(
      keys,
      ElementsAre("modal_classifier.layers.0.weight", "modal_classifier.layers.0.bias",
                  "text_classifier.layers.0.weight", "text_classifier.layers.0.bias",
                  "text_classifier.layers.1.weight", "text_classifier.layers.1.bias",
                  "text_classifier.layers.1.running_mean", "text_classifier.layers.1.running_var",
                  "text_classifier.layers.1.num_batches_tracked", "text_classifier.layers.4.weight",
                  "text_classifier.layers.4.bias"));
}

class EachFusion : public ::testing::TestWithParam<const char*> {
 protected:
  [[nodiscard]] static std::shared_ptr<FusionModel> build(const std::string& change = "") {
    return build_mini(GetParam(), change);
  }
  // With the reference's weights, in evaluation.
  [[nodiscard]] static std::shared_ptr<FusionModel> filled(const std::string& change = "") {
    const auto model = build(change);
    fill_by_reference(*model);
    model->eval();
    return model;
  }
};
INSTANTIATE_TEST_SUITE_P(All, EachFusion,
                         ::testing::Values("concat_bert", "concat_bow", "late_fusion"),
                         [](const auto& param) { return std::string(param.param); });

TEST_P(EachFusion, ScoresAreThoseOfTheReference) {
  EXPECT_TRUE(close(filled()->forward(mini_batch()).scores, golden(GetParam()), 1e-5));
}

TEST(FusionsTest, WordsAreMultipliedOnRequest) {
  const auto model = build_mini("concat_bow", "operator = 'mul'");
  fill_by_reference(*model);
  model->eval();
  EXPECT_TRUE(close(model->forward(mini_batch()).scores, golden("concat_bow_mul"), 1e-5));
}

TEST_P(EachFusion, RecomputeChangesNothingAndIsThereWithABert) {
  if (GetParam() == std::string("concat_bow")) {
    EXPECT_FALSE(build_mini(GetParam())->enable_recompute());
    return;
  }
  test::expect_recompute_changes_nothing<FusionModel>(
      [] {
        return build_mini(GetParam(),
                          "hidden_dropout_prob = 0.2\nattention_probs_dropout_prob = 0.1");
      },
      [](FusionModel& model) { return model.forward(mini_batch()).scores.square().sum(); });
}

// The second sample alone, without the words that it does not have, and with other numbers where it
// has no region.
TEST_P(EachFusion, PaddingChangesNothing) {
  const auto model = filled();
  const SampleList batch = mini_batch();
  const at::Tensor together_BC = model->forward(batch).scores;
  SampleList alone;
  alone.add_field("input_ids", batch.tensor("input_ids").slice(0, 1, 2).slice(1, 0, 3));
  alone.add_field("segment_ids", batch.tensor("segment_ids").slice(0, 1, 2).slice(1, 0, 3));
  at::Tensor features = batch.tensor("image_feature_0").slice(0, 1, 2).clone();
  features[0][2].fill_(std::numeric_limits<float>::quiet_NaN());
  alone.add_field("image_feature_0", features);
  SampleList info;
  info.add_field("max_features", torch::tensor(std::vector<std::int64_t>{2}));
  alone.add_field("image_info_0", std::make_shared<const SampleList>(std::move(info)));
  EXPECT_TRUE(close(model->forward(alone).scores[0], together_BC[1], 1e-6));
}

TEST_P(EachFusion, StateDictAndBackIsTheIdentity) {
  test::expect_state_dict_is_identity(*build(), *build());
}

// But the biases of keys: they add the same to all that a softmax compares.
TEST_P(EachFusion, EveryParameterGetsAGradient) {
  const auto model = filled();
  std::vector<std::string> without =
      test::without_gradient(*model, model->forward(mini_batch()).scores.square().sum());
  std::erase_if(without, [](const std::string& name) { return name.ends_with("self.key.bias"); });
  EXPECT_THAT(without, ::testing::IsEmpty());
}

// Ten samples whose answers words and regions say nothing about; guessing has three or four right.
TEST_P(EachFusion, LearnsABatchByHeart) {
  const auto model = build();
  SampleList batch;
  batch.add_field("text", torch::randint(1, 40, {10, 4}, torch::kLong));
  batch.add_field("image_feature_0", torch::randn({10, 3, 6}));
  const at::Tensor answers_B = torch::arange(10) % 3;
  torch::optim::AdamW optimizer(model->parameters(), torch::optim::AdamWOptions(0.02));
  for (int step = 0; step < 80; ++step) {
    optimizer.zero_grad();
    torch::cross_entropy_loss(model->forward(batch).scores, answers_B).backward();
    optimizer.step();
  }
  model->eval();
  EXPECT_TRUE(model->forward(batch).scores.argmax(1).equal(answers_B));
}

// The last batch of an epoch may have one: its hidden layer's batch norm must not end the training.
TEST_P(EachFusion, ABatchOfOneSampleIsTrained) {
  const auto model = build();
  SampleList batch;
  batch.add_field("text", torch::tensor({{3, 4, 5}}, torch::kLong));
  batch.add_field("image_feature_0", torch::randn({1, 3, 6}));
  EXPECT_THAT(model->forward(batch).scores.sizes().vec(), ElementsAre(1, 3));
}

TEST_P(EachFusion, FrozenPartsAreFrozen) {
  const std::string pixels =
      "direct_features_input = false\nimage_encoder = {type = 'grid', params.channels = [6]}\n";
  const auto trained = [&](const std::string& change) {
    std::set<std::string> parts;  // up to the second dot
    for (const auto& item : build(pixels + change)->named_parameters()) {
      if (!item.value().requires_grad()) continue;
      const bool base = item.key().starts_with("base.");
      parts.insert(base ? item.key().substr(0, item.key().find('.', 5)) : "classifiers");
    }
    return parts;
  };
  EXPECT_THAT(trained(""), ElementsAre("base.modal", "base.text", "classifiers"));
  EXPECT_THAT(trained("freeze_text = true"), ElementsAre("base.modal", "classifiers"));
  EXPECT_THAT(trained("freeze_modal = true"), ElementsAre("base.text", "classifiers"));
  EXPECT_THAT(trained("freeze_complete_base = true"), ElementsAre("classifiers"));
}

// Of all but the classifiers: the rate, and the decay, of which biases and LayerNorms have none.
TEST_P(EachFusion, GroupsHaveTheirOwnRateAndDecay) {
  const auto model = build("finetune_lr_multiplier = 0.5");
  const auto groups = model->optimizer_parameters(
      Config(Value(Value::Table{{"params", Value::Table{{"lr", 0.1}, {"weight_decay", 0.3}}}})));
  std::size_t parameters = 0;
  for (const ParameterGroup& group : groups) {
    parameters += group.names.size();
    for (const std::string& name : group.names) {
      const bool base = name.starts_with("base.");
      const Config options(group.options);
      EXPECT_EQ(options.get<double>("lr", 0.1), base ? 0.05 : 0.1) << name;
      const bool decays = !name.ends_with("bias") && name.find("LayerNorm") == std::string::npos;
      EXPECT_EQ(options.get<double>("weight_decay"), decays ? 0.3 : 0.0) << name;
    }
  }
  EXPECT_EQ(parameters, model->parameters().size());
}

// 8 x 8 pixels, halved once: 16 regions.
TEST_P(EachFusion, TakesPixelsThroughAnEncoder) {
  const auto model = build(
      "direct_features_input = false\nnum_features = 16\n"
      "image_encoder = {type = 'grid', params.channels = [6]}");
  SampleList batch;
  batch.add_field("text", torch::tensor({{3, 4, 5}, {6, 7, 0}}, torch::kLong));
  batch.add_field("text_len", torch::tensor(std::vector<std::int64_t>{3, 2}));
  batch.add_field("image", test::ramp({2, 3, 8, 8}, .1, .2));
  EXPECT_THAT(model->forward(batch).scores.sizes().vec(), ElementsAre(2, 3));
}

TEST_P(EachFusion, AnotherNumberOfRegionsIsAnError) {
  const auto model = build();
  SampleList batch = mini_batch();
  batch.set_field("image_feature_0", torch::zeros({2, 4, 6}));
  EXPECT_EQ(error_of(ErrorKind::kData, [&] { static_cast<void>(model->forward(batch)); }),
            "an image has 4 regions, but num_features is 3; set num_features to 4, or "
            "max_features of the data set to 3");
  batch.set_field("image_feature_0", torch::zeros({2, 3, 5}));
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { static_cast<void>(model->forward(batch)); }),
              HasSubstr("expects [batch, regions, 6]; set modal_hidden_size"));
}

TEST(FusionsTest, AnotherSizeOfImagesIsAnError) {
  const auto model = build_mini(
      "concat_bow",
      "direct_features_input = false\nimage_encoder = {type = 'grid', params.channels = [6]}");
  SampleList batch;
  batch.add_field("text", torch::ones({2, 3}, torch::kLong));
  batch.add_field("image", torch::zeros({2, 3, 8, 8}));
  EXPECT_EQ(error_of(ErrorKind::kData, [&] { static_cast<void>(model->forward(batch)); }),
            "an image has 16 regions, but num_features is 3; set num_features to 16, or give "
            "images of another size");
  batch.set_field("text", torch::ones({2, 3}));
  EXPECT_EQ(error_of(ErrorKind::kData, [&] { static_cast<void>(model->forward(batch)); }),
            "the words have the shape [2, 3] and the type Float; concat_bow expects int64 [batch, "
            "words]");
}

// Hugging Face's names are in its plugin.toml: tests/unit/plugin/hugging_face_test.cpp.
TEST(FusionsTest, NamesOfBertsFirstReleaseAreRenamed) {
  const auto model = build_mini("concat_bert");
  const auto renamed = [&](const char* key) { return model->format_state_key(key); };
  EXPECT_EQ(renamed("base.text.embeddings.LayerNorm.gamma"),
            "base.text.embeddings.LayerNorm.weight");
  EXPECT_EQ(renamed("base.text.encoder.layer.1.output.LayerNorm.beta"),
            "base.text.encoder.layer.1.output.LayerNorm.bias");
  EXPECT_EQ(renamed("classifier.layers.0.bias"), "classifier.layers.0.bias");
}

// Counted on the CPU: what would wait for a GPU. Scores are those of "sdpa".
TEST(FusionsPacked, NobodyWaitsForAGpuWithAPreparedBatch) {
  for (const char* name : {"concat_bert", "late_fusion"}) {
    const auto reference = build_mini(name);
    const auto model = build_mini(name, "attention = \"packed\"");
    reference->eval();
    model->eval();
    const SampleList batch = test::prepared(*model, mini_batch());
    EXPECT_TRUE(batch.has("token_places"));
    EXPECT_FALSE(test::prepared(*reference, mini_batch()).has("token_places"));
    const host::WaitingOperations waiting;
    const at::Tensor scores = model->forward(batch).scores;
    scores.sum().backward();
    EXPECT_TRUE(waiting.counts().empty()) << name;
    EXPECT_TRUE(close(scores, reference->forward(mini_batch()).scores, 1e-5)) << name;
  }
}

}  // namespace
}  // namespace pergola::fusions
