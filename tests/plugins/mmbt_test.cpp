// SPDX-License-Identifier: BSD-3-Clause
#include "plugins/mmbt/mmbt.h"

#include "host/device/waiting_operations.h"
#include "pergola/registry.h"
#include "plugins/bert_shapes.h"
#include "plugins/model_testing.h"
#include "plugins/recompute.h"

#include <nlohmann/json.hpp>

#include <fstream>
#include <map>

namespace pergola::mmbt {
namespace {

using test::close;
using test::error_of;
using test::noise;
using test::without_gradient;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

// tools/reference/mmbt.py's.
constexpr const char* kMini = R"(
  text_vocab_size = 40
  num_final_outputs = 3
  training_head_type = "classification"
  hidden_size = 16
  num_hidden_layers = 2
  num_attention_heads = 2
  intermediate_size = 32
  max_position_embeddings = 16
  modal_hidden_size = 6
  hidden_dropout_prob = 0.0
  attention_probs_dropout_prob = 0.0
  initializer_range = 0.3
)";

std::shared_ptr<Mmbt> build_mini(const std::vector<std::string>& changes = {}) {
  std::vector<std::string> all = {kMini};
  all.insert(all.end(), changes.begin(), changes.end());
  torch::manual_seed(3);
  return test::build_model<Mmbt>("mmbt", all);
}

// Texts of five and of three words, three regions each.
SampleList mini_batch() {
  SampleList batch;
  const at::Tensor mask =
      torch::arange(5).lt(torch::tensor({{5}, {3}}, torch::kLong)).to(torch::kLong);
  batch.add_field("input_ids", (torch::arange(10).view({2, 5}) * 7 % 39 + 1) * mask);
  batch.add_field("input_mask", mask);
  batch.add_field("segment_ids", torch::zeros({2, 5}, torch::kLong));
  batch.add_field("image_feature_0", noise(36, 500).view({2, 3, 6}).to(torch::kFloat) * 5);
  batch.set_dataset("mini", "train");
  return batch;
}

// The text's tables have two names; the rule goes by the first of the transformer.
void fill_by_reference(Mmbt& model) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> sorted;
  for (const auto& item : model.named_parameters()) {
    const bool second_name = item.key().find("modal_encoder.") != std::string::npos &&
                             item.key().find("proj_embeddings") == std::string::npos;
    if (!second_name) sorted.emplace(item.key(), item.value());
  }
  double k = 0;
  for (auto& [name, parameter] : sorted) {
    const double start = name.ends_with("LayerNorm.weight") ? 1 : 0;
    parameter.copy_((noise(parameter.numel(), k++) + start).view(parameter.sizes()));
  }
}

at::Tensor golden(const char* key) {
  static const nlohmann::json all =
      nlohmann::json::parse(std::ifstream(PERGOLA_GOLDEN_DIR "/mmbt.json"));
  std::vector<float> numbers;
  for (const auto& row : all.at(key)) {
    for (const auto& number : row) numbers.push_back(number.get<float>());
  }
  return torch::tensor(numbers).view({2, 3});
}

TEST(MmbtTest, AnnouncesItselfUnderItsKey) {
  std::vector<Announcement> nodes;
  for (const Announcement* node = take_announcements(); node != nullptr; node = node->next) {
    nodes.push_back(*node);
  }
  Registry registry;
  registry.publish(nodes, "mmbt_test");
  const auto model = registry.make_model("mmbt", test::model_config("mmbt", {kMini}));
  EXPECT_NE(dynamic_cast<Mmbt*>(model.get()), nullptr);
}

class MmbtPaths : public ::testing::TestWithParam<const char*> {
 protected:
  [[nodiscard]] static std::shared_ptr<Mmbt> build(const std::string& more = "") {
    return build_mini({test::attention_key(GetParam()), more});
  }
  [[nodiscard]] static ModelOutput forward(Mmbt& model, const SampleList& batch) {
    return model.forward(test::as_wanted(GetParam(), model, batch));
  }
};

TEST_P(MmbtPaths, ScoresAreThoseOfTheReference) {
  const auto model = build();
  fill_by_reference(*model);
  SampleList batch = mini_batch();
  EXPECT_TRUE(close(forward(*model, batch).scores, golden("one_segment"), 1e-5));
  batch.set_field("segment_ids", torch::arange(5).gt(2).to(torch::kLong).repeat({2, 1}));
  EXPECT_TRUE(close(forward(*model, batch).scores, golden("two_segments"), 1e-5));
}

TEST_P(MmbtPaths, RecomputeChangesNothing) {
  test::expect_recompute_changes_nothing<Mmbt>(
      [] {
        return build_mini({test::attention_key(GetParam()),
                           "hidden_dropout_prob = 0.2\nattention_probs_dropout_prob = 0.1"});
      },
      [](Mmbt& model) { return forward(model, mini_batch()).scores.square().sum(); });
}

// The second text alone, without the words that it does not have; the first image with a region
// that is not there.
TEST_P(MmbtPaths, PaddingChangesNothing) {
  const auto model = build();
  const at::Tensor together_BC = forward(*model, mini_batch()).scores;
  SampleList alone;
  alone.add_field("input_ids", mini_batch().tensor("input_ids").slice(0, 1, 2).slice(1, 0, 3));
  alone.add_field("segment_ids", torch::zeros({1, 3}, torch::kLong));
  alone.add_field("image_feature_0", mini_batch().tensor("image_feature_0").slice(0, 1, 2));
  EXPECT_TRUE(close(forward(*model, alone).scores[0], together_BC[1], 1e-6));
}

// Against "sdpa", with the options that change what a token is made of: the outcome and all
// gradients. One text has segments, and a word that is padding's; an image has no region at all.
TEST_P(MmbtPaths, AgreesWithSdpa) {
  for (const char* head : {"classification", "pretraining"}) {
    for (const char* ends : {"", "use_modal_start_token = false", "use_modal_end_token = false",
                             "use_modal_start_token = false\nuse_modal_end_token = false"}) {
      const std::string change = concat("training_head_type = \"", head, "\"\n", ends);
      SCOPED_TRACE(change);
      SampleList batch = mini_batch();
      at::Tensor ids = batch.tensor("input_ids").clone();
      ids[0][2] = 0;
      batch.set_field("input_ids", ids);
      batch.set_field("segment_ids", torch::arange(5).gt(2).to(torch::kLong).repeat({2, 1}));
      batch.add_field("lm_label_ids", batch.tensor("input_mask") * 8 - 1);  // 7, or none
      SampleList info;
      // Of the image without regions the pooled token would be one that is not there.
      const std::int64_t least = std::string_view(ends).starts_with("use_modal_start") ? 1 : 0;
      info.add_field("max_features", torch::tensor(std::vector<std::int64_t>{3, least}));
      batch.add_field("image_info_0", std::make_shared<const SampleList>(std::move(info)));
      const auto outcome = [](const ModelOutput& output) {
        return output.losses ? output.losses->begin()->second : output.scores;
      };
      const auto reference = build_mini({change});
      const auto model = build(change);
      const at::Tensor expected = outcome(reference->forward(batch));
      const at::Tensor found = outcome(forward(*model, batch));
      EXPECT_TRUE(close(found, expected, 1e-5)) << found << expected;
      expected.square().sum().backward();
      found.square().sum().backward();
      const auto parameters = reference->named_parameters();
      for (const auto& item : model->named_parameters()) {
        const at::Tensor& gradient = parameters[item.key()].grad();
        ASSERT_EQ(item.value().grad().defined(), gradient.defined()) << item.key();
        if (!gradient.defined()) continue;
        const double largest = gradient.abs().max().item<double>();
        EXPECT_TRUE(close(item.value().grad(), gradient, 5e-5 * std::max(largest, 1.0)))
            << item.key() << largest;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, MmbtPaths, ::testing::ValuesIn(test::kAttentions));

// Counted on the CPU: what would wait for a GPU.
TEST(MmbtTest, NobodyWaitsForAGpuWithAPreparedBatch) {
  for (const char* head : {"classification", "pretraining"}) {
    const auto model =
        build_mini({"attention = \"packed\"", concat("training_head_type = \"", head, "\"")});
    SampleList batch = mini_batch();
    batch.add_field("lm_label_ids", torch::full({2, 5}, 7, torch::kLong));
    batch = test::prepared(*model, batch);
    const host::WaitingOperations waiting;
    const ModelOutput output = model->forward(batch);
    (output.losses ? output.losses->begin()->second : output.scores.sum()).backward();
    EXPECT_TRUE(waiting.counts().empty()) << head;
  }
}

TEST(MmbtTest, RegionsThatAreNotThereAreLeftOut) {
  const auto model = build_mini({"use_modal_end_token = false"});
  SampleList batch = mini_batch();
  SampleList info;
  info.add_field("max_features", torch::tensor(std::vector<std::int64_t>{3, 2}));
  batch.add_field("image_info_0", std::make_shared<const SampleList>(std::move(info)));
  const at::Tensor expected = model->forward(batch).scores;
  at::Tensor features = batch.tensor("image_feature_0").clone();
  features[1][2].fill_(100);
  batch.set_field("image_feature_0", features);
  EXPECT_TRUE(close(model->forward(batch).scores, expected, 1e-6));
}

// MMF's: a BertModel, and ModalEmbeddings with its tables under their second names.
TEST(MmbtTest, KeysAndShapesAreMmfs) {
  test::BertShapes expected(/*words=*/40, /*positions=*/16, /*width=*/16, /*inner=*/32);
  expected.add_embeddings("model.bert.mmbt.transformer.embeddings");
  expected.add_layers("model.bert.mmbt.transformer.encoder", 2);
  expected.add_linear("model.bert.mmbt.transformer.pooler.dense", 16, 16);
  const std::string modal = "model.bert.mmbt.modal_encoder.";
  expected.add_linear(modal + "proj_embeddings", 16, 6);
  expected.add(modal + "position_embeddings.weight", {16, 16});
  expected.add(modal + "token_type_embeddings.weight", {2, 16});
  expected.add(modal + "word_embeddings.weight", {40, 16});
  expected.add_norm(modal + "LayerNorm");
  expected.add_classifier("model.classifier", 3);
  EXPECT_THAT(test::shapes_of(*build_mini()), ElementsAreArray(expected.shapes()));
}

// BertModel's 109,482,240, the projection's 1,573,632 and the 593,666 of two classes.
TEST(MmbtTest, FullSizeHasMmfsNumberOfParameters) {
  const auto model = test::build_model<Mmbt>(
      "mmbt", {"text_vocab_size = 30522\ntraining_head_type = \"classification\"\nnum_labels = 2"});
  EXPECT_EQ(model->num_parameters(), 111'649'538);
}

TEST(MmbtTest, SharesTheTablesOfWordsUnderTheirSecondNames) {
  const auto model = build_mini();
  const auto parameters = model->named_parameters();
  EXPECT_TRUE(parameters["model.bert.mmbt.modal_encoder.word_embeddings.weight"].is_same(
      parameters["model.bert.mmbt.transformer.embeddings.word_embeddings.weight"]));
}

TEST(MmbtTest, EveryParameterGetsAGradient) {
  const auto model = build_mini();
  EXPECT_THAT(without_gradient(*model, model->forward(mini_batch()).scores.square().sum()),
              ElementsAre("model.bert.mmbt.transformer.encoder.layer.0.attention.self.key.bias",
                          "model.bert.mmbt.transformer.encoder.layer.1.attention.self.key.bias"));
}

TEST(MmbtTest, PretrainingLearnsTheMaskedWordsInTheirPlaces) {
  const auto model = build_mini({"training_head_type = \"pretraining\""});
  EXPECT_TRUE(model->makes_losses());
  const auto loss_of = [&](const at::Tensor& labels) {
    SampleList batch = mini_batch();
    batch.add_field("lm_label_ids", labels);
    return model->forward(batch).losses->at("train/mini/masked_lm_loss").item<double>();
  };
  at::Tensor labels = torch::full({2, 5}, -1, torch::kLong);
  EXPECT_EQ(loss_of(labels), 0);
  labels[0][2] = 7;
  const double second = loss_of(labels);
  EXPECT_GT(second, 0);
  // The first word goes to the image as its start: it has no place in the text to be learned.
  labels[0][0] = 9;
  EXPECT_EQ(loss_of(labels), second);
}

TEST(MmbtTest, StateDictAndBackIsTheIdentity) {
  for (const char* head : {"classification", "pretraining"}) {
    const std::string change = concat("training_head_type = \"", head, "\"");
    test::expect_state_dict_is_identity(*build_mini({change}), *build_mini({change}));
  }
}

TEST(MmbtTest, FrozenPartsAreFrozen) {
  const auto trained = [](const char* change) {
    std::vector<std::string> names;
    for (const auto& item : build_mini({change})->named_parameters()) {
      if (item.value().requires_grad()) names.push_back(item.key());
    }
    return names;
  };
  EXPECT_THAT(trained("freeze_complete_base = true"), SizeIs(6));  // the classifier
  EXPECT_THAT(trained("freeze_text = true"),
              Contains("model.bert.mmbt.modal_encoder.proj_embeddings.weight"));
  EXPECT_THAT(trained("freeze_text = true"),
              Not(Contains("model.bert.mmbt.modal_encoder.word_embeddings.weight")));
}

TEST(MmbtTest, TakesPixelsThroughAnEncoder) {
  const auto model =
      build_mini({R"(image_encoder = {type = "patch", params = {patch_size = 4, dim = 8}})"});
  SampleList batch;
  batch.add_field("text", torch::tensor({{3, 4, 5}, {6, 7, 0}}, torch::kLong));
  batch.add_field("text_len", torch::tensor(std::vector<std::int64_t>{3, 2}));
  batch.add_field("image", test::ramp({2, 3, 8, 8}, .1, .2));
  EXPECT_EQ(model->forward(batch).scores.sizes(), (std::vector<std::int64_t>{2, 3}));
}

TEST(MmbtTest, OlderNamesAreRenamed) {
  const auto model = build_mini();
  EXPECT_EQ(model->format_state_key("base.bert.mmbt.transformer.embeddings.LayerNorm.gamma"),
            "model.bert.mmbt.transformer.embeddings.LayerNorm.weight");
  EXPECT_EQ(model->format_state_key("model.classifier.1.bias"), "model.classifier.1.bias");
}

TEST(MmbtTest, MistakesAreNamed) {
  EXPECT_THAT(
      error_of(ErrorKind::kConfig, [] { static_cast<void>(build_mini({"num_lables = 3"})); }),
      HasSubstr("did you mean 'num_labels'?"));
  EXPECT_THAT(
      error_of(ErrorKind::kConfig, [] { static_cast<void>(build_mini({"vocab_size = 39"})); }),
      HasSubstr("vocab_size = 39 is less than the 40 words of the data set; leave it out"));
  const auto model = build_mini();
  SampleList batch = mini_batch();
  batch.set_field("image_feature_0", torch::zeros({2, 15, 6}));
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { static_cast<void>(model->forward(batch)); }),
              HasSubstr("an image has 17 tokens, but there are 16 positions"));
  batch.set_field("image_feature_0", torch::zeros({2, 3, 5}));
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { static_cast<void>(model->forward(batch)); }),
              HasSubstr("expects [batch, regions, 6]; set modal_hidden_size"));
}

}  // namespace
}  // namespace pergola::mmbt
