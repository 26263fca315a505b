// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/registry.h"
#include "plugins/precision.h"
#include "plugins/pythia_mini.h"

#include <map>

namespace pergola::pythia {
namespace {

using test::close;
using test::error_of;
using test::fill_by_rule;
using test::logit_bce;
using test::parameter_names;
using test::ramp;
using test::without_gradient;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAreArray;

TEST(PythiaTest, AnnouncesItselfUnderItsKey) {
  std::vector<Announcement> nodes;
  for (const Announcement* node = take_announcements(); node != nullptr; node = node->next) {
    nodes.push_back(*node);
  }
  Registry registry;
  registry.publish(nodes, "pythia_test");
  const auto model = registry.make_model("pythia", test::model_config("pythia", {kMini}));
  EXPECT_NE(dynamic_cast<Pythia*>(model.get()), nullptr);
}

// The released VQA v2 model: MMF's names in MMF's order, with their shapes.
TEST(PythiaTest, DefaultBuildHasTheParametersOfMmfsVqa2Model) {
  const auto model =
      test::build_model<Pythia>("pythia", {"text_vocab_size = 75505", "num_final_outputs = 3129"});
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> expected = {
      {"word_embedding.weight", {75505, 300}},
      {"text_embeddings.0.module.recurrent_unit.weight_ih_l0", {4096, 300}},
      {"text_embeddings.0.module.recurrent_unit.weight_hh_l0", {4096, 1024}},
      {"text_embeddings.0.module.recurrent_unit.bias_ih_l0", {4096}},
      {"text_embeddings.0.module.recurrent_unit.bias_hh_l0", {4096}},
      {"text_embeddings.0.module.conv1.weight", {512, 1024, 1}},
      {"text_embeddings.0.module.conv1.bias", {512}},
      {"text_embeddings.0.module.conv2.weight", {2, 512, 1}},
      {"text_embeddings.0.module.conv2.bias", {2}},
      {"image_feature_encoders.0.lc.weight", {2048, 2048}},
      {"image_feature_encoders.0.lc.bias", {2048}}};
  const auto add_weight_norm = [&](const std::string& name, std::int64_t out, std::int64_t in) {
    expected.push_back({name + ".bias", {out}});
    expected.push_back({name + ".weight_g", {}});
    expected.push_back({name + ".weight_v", {out, in}});
  };
  for (const char* feature : {"0", "1"}) {
    const std::string attention =
        concat("image_feature_embeddings_list.", feature, ".0.image_attention_model.module.");
    add_weight_norm(attention + "combination_layer.module.fa_image.layers.0", 5000, 2048);
    add_weight_norm(attention + "combination_layer.module.fa_txt.layers.0", 5000, 2048);
    add_weight_norm(attention + "transform.module.lc", 1, 5000);
  }
  const std::string combine = "image_text_multi_modal_combine_layer.module.";
  add_weight_norm(combine + "fa_image.layers.0", 5000, 4096);
  add_weight_norm(combine + "fa_txt.layers.0", 5000, 2048);
  add_weight_norm("classifier.module.f_o_text.layers.0", 300, 5000);
  add_weight_norm("classifier.module.f_o_image.layers.0", 5000, 5000);
  expected.push_back({"classifier.module.linear_text.weight", {3129, 300}});
  expected.push_back({"classifier.module.linear_text.bias", {3129}});
  expected.push_back({"classifier.module.linear_image.weight", {3129, 5000}});
  expected.push_back({"classifier.module.linear_image.bias", {3129}});

  std::vector<std::pair<std::string, std::vector<std::int64_t>>> found;
  for (const auto& [key, tensor] : state_dict(*model))
    found.emplace_back(key, tensor.sizes().vec());
  EXPECT_EQ(found, expected);
  EXPECT_THAT(found, SizeIs(45));
  EXPECT_EQ(model->num_parameters(), 147'620'244);
}

// MMF's own scores and loss for these weights and inputs.
TEST(PythiaTest, MiniModelGivesMmfsScoresAndLoss) {
  const auto model = build_mini();
  EXPECT_THAT(parameter_names(*model), SizeIs(34));
  EXPECT_EQ(model->num_parameters(), 1281);
  fill_by_rule(*model);
  const at::Tensor scores_BC = model->forward(mini_batch()).scores;
  const at::Tensor expected_C =
      torch::tensor({-.312474, .372051, -.446243, .256719, -.492615, .148795, -.413663, .081359,
                     -.218442, .049711, .037225});
  EXPECT_TRUE(close(scores_BC[0], expected_C, 1e-5)) << scores_BC[0];
  const at::Tensor targets_BC = ramp({2, 11}, .9, .1).gt(.3).to(torch::kFloat) * .6;
  EXPECT_NEAR(logit_bce(scores_BC, targets_BC).item<double>(), 7.605257, 1e-5);
}

TEST(PythiaTest, WeightNormStartsAsThePlainLinearLayer) {
  torch::manual_seed(5);
  const torch::nn::Linear plain(4, 3);
  torch::manual_seed(5);
  const WeightNormLinear layer(4, 3);
  const at::Tensor x = ramp({2, 4}, .3, 0.);
  EXPECT_TRUE(close(layer.forward(x), torch::nn::Linear(plain)->forward(x), 1e-6));
}

TEST(PythiaTest, ForwardLeavesTheBatchAsItWas) {
  const auto model = build_mini();
  const SampleList batch = mini_batch();
  const at::Tensor first = model->forward(batch).scores;
  EXPECT_EQ(batch.tensor("text").scalar_type(), torch::kLong);
  EXPECT_TRUE(torch::equal(batch.tensor("image_feature_0"), ramp({2, 3, 7}, 0.21, 0.5)));
  EXPECT_TRUE(torch::equal(model->forward(batch).scores, first));
}

TEST(PythiaTest, WithoutDropoutTrainingAndEvaluationAreTheSame) {
  const auto model = build_mini();
  const at::Tensor training = model->forward(mini_batch()).scores;
  model->eval();
  EXPECT_TRUE(torch::equal(model->forward(mini_batch()).scores, training));
}

// Each of the three places where MMF has a dropout, alone.
TEST(PythiaTest, DropoutActsInTrainingOnly) {
  const char* places[] = {R"(
      [[text_embeddings]]
      type = "attention"
      params = {embedding_dim = 8, hidden_dim = 6, conv1_out = 5, conv2_out = 2, dropout = 0.5})",
                          R"(
      [[image_feature_embeddings]]
      modal_combine.type = "non_linear_element_multiply"
      modal_combine.params = {hidden_dim = 9, dropout = 0.5}
      transform = "linear")",
                          "image_text_modal_combine.params.dropout = 0.5"};
  const at::Tensor without = build_mini()->forward(mini_batch()).scores;
  for (const char* place : places) {
    const auto model = build_mini(place);
    const at::Tensor first = model->forward(mini_batch()).scores;
    EXPECT_FALSE(close(model->forward(mini_batch()).scores, first, 1e-6)) << place;
    model->eval();
    EXPECT_TRUE(torch::equal(model->forward(mini_batch()).scores, without)) << place;
  }
}

TEST(PythiaTest, OneSampleScoresAsInABatch) {
  const auto model = build_mini();
  SampleList one;
  one.add_field("text", mini_batch().tensor("text").slice(0, 0, 1));
  one.add_field("image_feature_0", mini_batch().tensor("image_feature_0").slice(0, 0, 1));
  const at::Tensor scores_1C = model->forward(one).scores;
  EXPECT_THAT(scores_1C.sizes().vec(), ElementsAre(1, 11));
  EXPECT_TRUE(close(scores_1C[0], model->forward(mini_batch()).scores[0], 1e-6));
}

// A softmax stays the same when a number is added to all of its inputs, so that the biases right
// before one, of the text's second convolution and of the image's transform, have no gradient.
TEST(PythiaTest, GradientReachesEveryParameterButBiasesBeforeASoftmax) {
  const auto model = build_mini();
  SampleList batch;
  batch.add_field("text", torch::randint(1, 20, {32, 5}, torch::kLong));
  batch.add_field("image_feature_0", torch::randn({32, 3, 7}));
  const at::Tensor loss = model->forward(batch).scores.square().sum();
  EXPECT_THAT(without_gradient(*model, loss),
              ElementsAre("text_embeddings.0.module.conv2.bias",
                          "image_feature_embeddings_list.0.0.image_attention_model.module."
                          "transform.module.lc.bias"));
}

TEST(PythiaTest, SeveralTextEmbeddingsStandSideBySide) {
  const auto model = build_mini(R"(text_embeddings = [
      {type = "attention", params = {embedding_dim = 8, hidden_dim = 6, conv2_out = 2}},
      {type = "attention", params = {embedding_dim = 8, hidden_dim = 4, conv2_out = 1}}])");
  // 2 glimpses of 6 and 1 of 4 numbers.
  const at::Tensor weight = model->named_parameters()
                                ["image_text_multi_modal_combine_layer.module.fa_txt.layers.0."
                                 "weight_v"];
  EXPECT_THAT(weight.sizes().vec(), ElementsAre(9, 2 * 6 + 4));
  EXPECT_THAT(model->forward(mini_batch()).scores.sizes().vec(), ElementsAre(2, 11));
}

TEST(PythiaTest, TrainsInLowPrecision) {
  const auto model = build_mini();
  const auto loss = [&] {
    return logit_bce(model->forward(mini_batch()).scores, torch::ones({2, 11}));
  };
  test::expect_trains_in(host::Precision::kBf16, *model, test::kBf16Bound, loss);
  test::expect_trains_in(host::Precision::kFp16, *model, test::kFp16Bound, loss);
  EXPECT_FALSE(model->enable_recompute());
}

TEST(PythiaTest, MissingTextIsNamed) {
  SampleList batch;
  batch.add_field("image_feature_0", torch::zeros({2, 3, 7}));
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { (void)build_mini()->forward(batch); }),
              HasSubstr("text"));
}

TEST(PythiaTest, TextThatIsNotWordNumbersIsRefused) {
  for (const at::Tensor& text : {torch::zeros({2}, torch::kLong), torch::zeros({2, 5}),
                                 torch::zeros({2, 0}, torch::kLong)}) {
    SampleList batch = mini_batch();
    batch.set_field("text", text);
    EXPECT_THAT(error_of(ErrorKind::kData, [&] { (void)build_mini()->forward(batch); }),
                HasSubstr("; pythia expects int64 word numbers, [batch, words]"));
  }
}

TEST(PythiaTest, OldStateKeysGetTheirCurrentNames) {
  const auto model = build_mini();
  const std::map<std::string, std::string> current_by_old = {
      {"a.fa_history.layers.0.bias", "a.fa_context.layers.0.bias"},
      {"image_feature_encoders.0.module.lc.weight", "image_feature_encoders.0.lc.weight"},
      {"image_feature_encoders.12.module.lc.bias", "image_feature_encoders.12.lc.bias"},
      {"image_feature_encoders.0.lc.weight", "image_feature_encoders.0.lc.weight"},
      {"x.transform.module.lc.bias", "x.transform.module.lc.bias"},
      {"word_embedding.weight", "word_embedding.weight"}};
  for (const auto& [old, current] : current_by_old) {
    EXPECT_EQ(model->format_state_key(old), current);
  }
}

TEST(PythiaTest, StateDictAndBackIsTheIdentity) {
  for (const char* change : {"", R"(image_feature_encodings = ["finetune_faster_rcnn_fpn_fc7"])"}) {
    test::expect_state_dict_is_identity(*build_mini(change), *build_mini(change));
  }
}

TEST(PythiaTest, WeightsOfAnOldReleaseLoad) {
  const auto model = build_mini(R"(image_feature_encodings = ["finetune_faster_rcnn_fpn_fc7"])");
  StateDict old;
  for (const auto& [key, tensor] : state_dict(*model)) {
    const std::size_t lc = key.find("encoders.0.lc.");
    old.emplace_back(lc == std::string::npos
                         ? key
                         : concat("image_feature_encoders.0.module.", key.substr(key.find("lc."))),
                     torch::full_like(tensor, 0.25));
  }
  model->load_state_dict(old, Strict::kYes);
  EXPECT_TRUE(
      model->named_parameters()["image_feature_encoders.0.lc.weight"].eq(0.25).all().item<bool>());
}

Config optimizer_config(double lr) {
  Value config;
  config["type"] = "adamax";
  config["params"]["lr"] = lr;
  return Config(std::move(config), "optimizer");
}

// 0.1 of 0.01, written into the group.
TEST(PythiaTest, FineTunedEncodersLearnAtATenthOfTheRate) {
  const auto model =
      build_mini(R"(image_feature_encodings = ["finetune_faster_rcnn_fpn_fc7", "default"])");
  const auto groups = model->optimizer_parameters(optimizer_config(0.01));
  ASSERT_THAT(groups, SizeIs(2));
  EXPECT_EQ(groups[0].options, Value(Value::Table{}));
  EXPECT_DOUBLE_EQ(groups[1].options.find("lr")->as_float(), 0.001);
  EXPECT_THAT(groups[1].names, ElementsAre("image_feature_encoders.0.lc.weight",
                                           "image_feature_encoders.0.lc.bias"));
  std::vector<std::string> all = groups[0].names;
  all.insert(all.end(), groups[1].names.begin(), groups[1].names.end());
  EXPECT_THAT(all, UnorderedElementsAreArray(parameter_names(*model)));
  for (const ParameterGroup& group : groups) {
    ASSERT_EQ(group.names.size(), group.parameters.size());
    for (std::size_t i = 0; i < group.names.size(); ++i) {
      EXPECT_TRUE(group.parameters[i].is_same(model->named_parameters()[group.names[i]]));
    }
  }
}

TEST(PythiaTest, ConvGridLearnsAtTheCommonRate) {
  const auto model = build_mini(R"(image_feature_encodings = ["conv_grid"])");
  const auto groups = model->optimizer_parameters(optimizer_config(0.01));
  ASSERT_THAT(groups, SizeIs(1));
  EXPECT_EQ(groups[0].names, parameter_names(*model));
}

TEST(PythiaTest, FrozenParametersAreInNoGroup) {
  const auto model = build_mini();
  model->named_parameters()["word_embedding.weight"].set_requires_grad(false);
  const auto groups = model->optimizer_parameters(optimizer_config(0.01));
  ASSERT_THAT(groups, SizeIs(1));
  EXPECT_THAT(groups[0].names, Not(Contains("word_embedding.weight")));
}

TEST(PythiaTest, ATenthOfAnUnknownRateIsAnError) {
  const auto model = build_mini(R"(image_feature_encodings = ["finetune_faster_rcnn_fpn_fc7"])");
  EXPECT_THAT(error_of(ErrorKind::kConfig, [&] { (void)model->optimizer_parameters(Config()); }),
              HasSubstr("params.lr is missing"));
}

}  // namespace
}  // namespace pergola::pythia
