// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/registry.h"
#include "plugins/bert_shapes.h"
#include "plugins/visual_bert_mini.h"

namespace pergola::visual_bert {
namespace {

using test::close;
using test::error_of;
using test::fill_by_rule;
using test::logit_bce;
using test::ramp;
using test::without_gradient;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(VisualBertTest, AnnouncesItselfUnderItsKey) {
  std::vector<Announcement> nodes;
  for (const Announcement* node = take_announcements(); node != nullptr; node = node->next) {
    nodes.push_back(*node);
  }
  Registry registry;
  registry.publish(nodes, "visual_bert_test");
  const auto model = registry.make_model("visual_bert", test::model_config("visual_bert", {kMini}));
  EXPECT_NE(dynamic_cast<VisualBert*>(model.get()), nullptr);
}

// MMF's own scores and loss for these weights and inputs.
TEST(VisualBertTest, MiniModelGivesMmfsScoresAndLoss) {
  const auto model = build_mini({"pooler_strategy = \"vqa\""});
  EXPECT_EQ(model->num_parameters(), 2013);
  const at::Tensor scores_BC = model->forward(mini_batch()).scores;
  const at::Tensor expected_BC = torch::tensor({{-.045038, -.530853, -.035243, -.362025, .077737},
                                                {-.045492, -.530367, -.035745, -.361524, .077253}});
  EXPECT_TRUE(close(scores_BC, expected_BC, 1e-5)) << scores_BC;
  const at::Tensor targets_BC = ramp({2, 5}, .9, .1).gt(.3).to(torch::kFloat) * .6;
  EXPECT_NEAR(logit_bce(scores_BC, targets_BC).item<double>(), 3.521194, 1e-5);
}

struct Structure {
  const char* name;
  std::vector<std::string> changes;
  std::size_t keys;
  std::int64_t parameters;
};

class VisualBertStructure : public ::testing::TestWithParam<Structure> {};

// MMF.md 9.2; the classifier of 3129 answers has 2,998,329 of these, one of 2 has 593,666.
TEST_P(VisualBertStructure, IsMmfs) {
  std::vector<std::string> changes = {"text_vocab_size = 30522"};
  changes.insert(changes.end(), GetParam().changes.begin(), GetParam().changes.end());
  const auto model = test::build_model<VisualBert>("visual_bert", changes);
  EXPECT_THAT(state_dict(*model), SizeIs(GetParam().keys));
  EXPECT_EQ(model->num_parameters(), GetParam().parameters);
}

// 209 parameters and position_ids make 210 keys. The pretraining head has, instead of the
// classifier's 6, its transform's 4, two of seq_relationship, a bias, and the decoder's two names.
INSTANTIATE_TEST_SUITE_P(
    All, VisualBertStructure,
    ::testing::Values(
        Structure{"Vqa2",
                  {"training_head_type = \"classification\"", "num_labels = 3129"},
                  210,
                  114'448'953},
        Structure{"TwoClasses",
                  {"training_head_type = \"classification\"", "num_labels = 2"},
                  210,
                  112'044'290},
        Structure{"Nlvr2", {"training_head_type = \"nlvr2\"", "num_labels = 2"}, 210, 113'817'602},
        Structure{"Pretraining", {}, 213, 112'074'812}),
    [](const auto& param) { return std::string(param.param.name); });

// MMF.md 9.2, of 3129 answers.
TEST(VisualBertTest, KeysAndShapesAreMmfs) {
  const auto model = test::build_model<VisualBert>(
      "visual_bert",
      {"text_vocab_size = 30522\ntraining_head_type = \"classification\"\nnum_labels = 3129"});
  test::BertShapes expected(/*words=*/30522, /*positions=*/512, /*width=*/768, /*inner=*/3072);
  const std::string embeddings = "model.bert.embeddings";
  expected.add_embeddings(embeddings);
  expected.add(embeddings + ".token_type_embeddings_visual.weight", {2, 768});
  expected.add(embeddings + ".position_embeddings_visual.weight", {512, 768});
  expected.add_linear(embeddings + ".projection", 768, 2048);
  expected.add_layers("model.bert.encoder", 12);
  expected.add_linear("model.bert.pooler.dense", 768, 768);
  expected.add_classifier("model.classifier", 3129);
  EXPECT_THAT(expected.shapes(), SizeIs(210));
  EXPECT_THAT(test::shapes_of(*model), ElementsAreArray(expected.shapes()));
}

void expect_same_gradients(const VisualBert& model, const VisualBert& other) {
  const auto parameters = other.named_parameters();
  for (const auto& item : model.named_parameters()) {
    const at::Tensor& gradient = parameters[item.key()].grad();
    ASSERT_EQ(item.value().grad().defined(), gradient.defined()) << item.key();
    if (!gradient.defined()) continue;
    EXPECT_TRUE(close(item.value().grad(), gradient, 1e-5)) << item.key();
  }
}

at::Tensor outcome(VisualBert& model, const SampleList& batch) {
  const ModelOutput output = model.forward(batch);
  return output.losses ? output.losses->at("train/mini/masked_lm_loss") : output.scores;
}

// All that a head may read, one image and two.
SampleList batch_for_all_heads(bool aligned) {
  SampleList batch = mini_batch();
  batch.add_field("img0", std::make_shared<const SampleList>(mini_image(.5)));
  batch.add_field("img1", std::make_shared<const SampleList>(mini_image(1.5)));
  const at::Tensor labels = torch::full({2, 6}, -1, torch::kLong);
  labels.select(1, 2).fill_(7);
  batch.add_field("lm_label_ids", labels);
  if (aligned) batch.add_field("image_text_alignment", mini_alignment());
  return batch;
}

// Of the samples of mini_batch().
constexpr std::int64_t kWords[] = {4, 6};
constexpr std::int64_t kRegions[] = {3, 2};

// For all heads, with something in the places that the masks leave out. Only the words of the
// sample `labelled` are to be predicted: all of them.
SampleList padded_batch(std::int64_t labelled) {
  SampleList batch = batch_for_all_heads(/*aligned=*/true);
  const at::Tensor padding = batch.tensor("input_mask").eq(0);
  const at::Tensor sample = torch::arange(2).eq(labelled).unsqueeze(1);
  batch.set_field("lm_label_ids", torch::where(padding.logical_not().logical_and(sample),
                                               batch.tensor("input_ids"), -1));
  batch.set_field("input_ids", batch.tensor("input_ids").masked_fill(padding, 13));
  batch.set_field("segment_ids", batch.tensor("segment_ids").masked_fill(padding, 1));
  for (const SampleList* image :
       {&std::as_const(batch), &batch.group("img0"), &batch.group("img1")}) {
    at::Tensor features = image->tensor("image_feature_0");  // the batch's own
    features[1][2].fill_(5);
  }
  return batch;
}

// Sample `i` of these alone.
SampleList without_padding(std::int64_t i) {
  const SampleList batch = padded_batch(i);
  const auto cut = [&](const SampleList& from, const char* field, const std::int64_t* lengths) {
    return from.tensor(field).narrow(0, i, 1).narrow(1, 0, lengths[i]);
  };
  SampleList alone;
  for (const char* field : {"input_ids", "segment_ids", "lm_label_ids"}) {
    alone.add_field(field, cut(batch, field, kWords));
  }
  for (const char* field : {"image_feature_0", "image_text_alignment"}) {
    alone.add_field(field, cut(batch, field, kRegions));
  }
  for (const char* name : {"img0", "img1"}) {
    SampleList image;
    image.add_field("image_feature_0", cut(batch.group(name), "image_feature_0", kRegions));
    alone.add_field(name, std::make_shared<const SampleList>(std::move(image)));
  }
  alone.set_dataset("mini", "train");
  return alone;
}

class VisualBertPaths : public ::testing::TestWithParam<const char*> {
 protected:
  // `mini` with that way to attend.
  [[nodiscard]] static std::shared_ptr<VisualBert> build(const std::string& more = "") {
    return build_mini({test::attention_key(GetParam()), more});
  }
  [[nodiscard]] static at::Tensor outcome_of(VisualBert& model, const SampleList& batch) {
    return outcome(model, test::as_wanted(GetParam(), model, batch));
  }

  static void expect_as_plain(const std::string& change, const SampleList& batch) {
    const auto plain = build_mini({"attention = \"plain\"", change});
    const auto model = build(change);
    const at::Tensor expected = outcome(*plain, batch);
    const at::Tensor found = outcome_of(*model, batch);
    EXPECT_TRUE(close(found, expected, 1e-5)) << found << expected;
    expected.square().sum().backward();
    found.square().sum().backward();
    expect_same_gradients(*model, *plain);
  }
};

// Against "plain", with every head and option that changes what is attended to: the outputs, and
// all gradients.
TEST_P(VisualBertPaths, AgreesWithThePlainOne) {
  for (const char* head : {"classification", "pretraining", "nlvr2"}) {
    for (const char* more : {"", "pooler_strategy = \"vqa\"", "classifier = \"linear\"",
                             "bypass_transformer = true"}) {
      const bool vqa = std::string_view(more).starts_with("pooler");
      if (vqa && std::string_view(head) == "nlvr2") continue;  // is refused
      const std::string change = concat("training_head_type = \"", head, "\"\n", more);
      for (const bool aligned : {false, true}) {
        SCOPED_TRACE(concat(change, aligned ? ", aligned" : ""));
        expect_as_plain(change, batch_for_all_heads(aligned));
      }
    }
  }
}

// Each sample alone without its padding, and in a batch where something stands there. Larger
// weights make more than 1e-6 of rounding alone.
TEST_P(VisualBertPaths, PaddingChangesNothing) {
  for (const char* change :
       {"", "pooler_strategy = \"vqa\"", "bypass_transformer = true",
        "training_head_type = \"nlvr2\"", "training_head_type = \"pretraining\""}) {
    SCOPED_TRACE(change);
    const auto model =
        build_random(test::attention_key(GetParam()) + "\ninitializer_range = 0.2\n" + change);
    std::vector<at::Tensor> outcomes;
    for (const std::int64_t i : {0, 1}) {
      at::Tensor together = outcome_of(*model, padded_batch(/*labelled=*/i));
      if (!model->makes_losses()) together = together[i];
      outcomes.push_back(outcome_of(*model, without_padding(i)).view_as(together));
      EXPECT_TRUE(close(outcomes.back(), together, 1e-6)) << outcomes.back() - together;
    }
    EXPECT_FALSE(close(outcomes[0], outcomes[1], .05));
  }
}

INSTANTIATE_TEST_SUITE_P(All, VisualBertPaths, ::testing::ValuesIn(test::kAttentions));

TEST(VisualBertTest, EveryParameterGetsAGradient) {
  const auto model = build_random();
  const at::Tensor loss = model->forward(mini_batch()).scores.square().sum();
  // The key's bias is the same for every weight of a softmax, so that it has none.
  EXPECT_THAT(without_gradient(*model, loss),
              ElementsAre("model.bert.encoder.layer.0.attention.self.key.bias",
                          "model.bert.encoder.layer.1.attention.self.key.bias"));
}

TEST(VisualBertTest, Nlvr2ReadsTwoImagesInTheirOrder) {
  const auto model = build_random("training_head_type = \"nlvr2\"\nnum_final_outputs = 2");
  const auto scores = [&](double left, double right) {
    return model->forward(mini_pair(mini_image(left), mini_image(right))).scores;
  };
  EXPECT_EQ(scores(.5, 1.5).sizes(), (std::vector<std::int64_t>{2, 2}));
  EXPECT_FALSE(close(scores(.5, 1.5), scores(1.5, .5), 1e-4));
}

class VisualBertPretraining : public ::testing::Test {
 protected:
  [[nodiscard]] double loss(const std::vector<std::vector<std::int64_t>>& labels) const {
    SampleList batch = mini_batch();
    batch.add_field("lm_label_ids",
                    torch::stack({torch::tensor(labels[0]), torch::tensor(labels[1])}));
    const ModelOutput output = model_->forward(batch);
    EXPECT_FALSE(output.scores.defined());
    return output.losses->at("train/mini/masked_lm_loss").item<double>();
  }

  std::shared_ptr<VisualBert> model_ = build_mini({"training_head_type = \"pretraining\""});
};

TEST_F(VisualBertPretraining, MakesItsOwnLossOfMaskedWords) {
  EXPECT_TRUE(model_->makes_losses());
  const double one = loss({{-1, 5, -1, -1, -1, -1}, {-1, -1, -1, -1, -1, -1}});
  const double other = loss({{-1, -1, -1, -1, -1, -1}, {-1, -1, -1, 11, -1, -1}});
  const double both = loss({{-1, 5, -1, -1, -1, -1}, {-1, -1, -1, 11, -1, -1}});
  EXPECT_GT(one, 0);
  EXPECT_NEAR(both, (one + other) / 2, 1e-6);  // the mean over masked words
}

// MMF's is NaN.
TEST_F(VisualBertPretraining, WithoutAMaskedWordTheLossIsZero) {
  EXPECT_EQ(loss({{-1, -1, -1, -1, -1, -1}, {-1, -1, -1, -1, -1, -1}}), 0);
}

TEST_F(VisualBertPretraining, TheDecoderIsTheWordEmbedding) {
  const auto parameters = model_->named_parameters();
  EXPECT_TRUE(parameters["model.cls.predictions.decoder.weight"].is_same(
      parameters["model.bert.embeddings.word_embeddings.weight"]));
  EXPECT_TRUE(parameters["model.cls.predictions.decoder.bias"].is_same(
      parameters["model.cls.predictions.bias"]));
}

TEST(VisualBertTest, ChoicesCountAsSamples) {
  const auto model = build_mini();
  SampleList batch;
  for (const char* field : {"input_ids", "input_mask", "segment_ids", "image_feature_0"}) {
    const SampleList flat = mini_batch();
    batch.add_field(field, flat.tensor(field).unsqueeze(0));
  }
  EXPECT_EQ(model->forward(batch).scores.sizes(), (std::vector<std::int64_t>{2, 5}));
}

TEST(VisualBertTest, PixelsBecomeRegions) {
  for (const char* encoder : {R"({type = "grid", params = {channels = [4, 6], kernel_size = 3}})",
                              R"({type = "patch", params = {patch_size = 4, dim = 6}})"}) {
    torch::manual_seed(3);
    const auto model =
        test::build_model<VisualBert>("visual_bert", {kMini, concat("image_encoder = ", encoder)});
    model->eval();
    SampleList batch;
    batch.add_field("image", ramp({2, 3, 16, 12}, .1, .2));
    batch.add_field("text", torch::tensor({{3, 4, 5}, {6, 7, 0}}, torch::kLong));
    batch.add_field("text_len", torch::tensor(std::vector<std::int64_t>{3, 2}));
    const at::Tensor scores = model->forward(batch).scores;
    EXPECT_EQ(scores.sizes(), (std::vector<std::int64_t>{2, 5}));
    // A picture's halves exchanged are another picture: regions have places.
    SampleList other;
    other.add_field("image", batch.tensor("image").roll(8, 2));
    other.add_field("text", batch.tensor("text"));
    other.add_field("text_len", batch.tensor("text_len"));
    EXPECT_FALSE(close(model->forward(other).scores, scores, 1e-7));
  }
}

TEST(VisualBertTest, FieldsHaveWhatIsAskedFor) {
  const auto model = build_mini(
      {"attention = \"plain\"", "output_attentions = true", "output_hidden_states = true"});
  const ModelOutput output = model->forward(mini_batch());
  EXPECT_THAT(output.fields, SizeIs(3 + 2));
  EXPECT_EQ(output.fields.at("hidden_states_2").sizes(), (std::vector<std::int64_t>{2, 9, 8}));
  const at::Tensor& weights = output.fields.at("attentions_1");
  EXPECT_EQ(weights.sizes(), (std::vector<std::int64_t>{2, 2, 9, 9}));
  EXPECT_TRUE(close(weights.sum(-1), torch::ones({2, 2, 9}), 1e-6));
  EXPECT_EQ(weights[0][0][0][5].item<float>(), 0);  // a word that is not there
}

TEST(VisualBertTest, BiasesAndLayerNormsDoNotDecay) {
  const auto model = build_mini({"finetune_lr_multiplier = 0.1"});
  const Config optimizer(Value::Table{{"params", Value::Table{{"lr", 0.5}}}});
  const std::vector<ParameterGroup> groups = model->optimizer_parameters(optimizer);
  ASSERT_THAT(groups, SizeIs(4));  // base and head, each with and without decay
  for (const ParameterGroup& group : groups) {
    const double decay = group.options.find("weight_decay")->as_float();
    const bool base = group.options.find("lr") != nullptr;
    if (base) {
      EXPECT_DOUBLE_EQ(group.options.find("lr")->as_float(), 0.05);
    }
    for (const std::string& name : group.names) {
      const bool decays =
          name.find("bias") == std::string::npos && name.find("LayerNorm") == std::string::npos;
      EXPECT_EQ(decay, decays ? .01 : 0) << name;  // MMF's
      EXPECT_EQ(base, name.starts_with("model.bert.")) << name;
    }
  }
}

constexpr const char* kPatches =
    "image_encoder = {type = \"patch\", params = {patch_size = 4, dim = 6}}";

// The base is all but the head: what makes regions of pixels too.
TEST(VisualBertTest, TheMultiplierIsAlsoThatOfTheImageEncoder) {
  const auto model = build_mini({"finetune_lr_multiplier = 0.1", kPatches});
  const Config optimizer(Value::Table{{"params", Value::Table{{"lr", 0.5}}}});
  std::vector<std::string> found;
  for (const ParameterGroup& group : model->optimizer_parameters(optimizer)) {
    for (const std::string& name : group.names) {
      if (!name.starts_with("image_encoder.")) continue;
      found.push_back(name);
      const Value* lr = group.options.find("lr");
      ASSERT_NE(lr, nullptr) << name;
      EXPECT_DOUBLE_EQ(lr->as_float(), 0.05);
    }
  }
  EXPECT_THAT(found, SizeIs(2));
}

TEST(VisualBertTest, AFrozenBaseLeavesTheHead) {
  for (const char* regions : {"", kPatches}) {
    const auto model = build_mini({"freeze_base = true", regions});
    std::vector<std::string> trained;
    for (const auto& item : model->named_parameters()) {
      if (item.value().requires_grad()) trained.push_back(item.key());
    }
    EXPECT_THAT(trained, SizeIs(6));
    EXPECT_EQ(trained.front(), "model.classifier.0.dense.weight");
  }
}

TEST(VisualBertTest, StateDictAndBackIsTheIdentity) {
  for (const char* head : {"classification", "pretraining", "nlvr2"}) {
    const std::string change = concat("training_head_type = \"", head, "\"");
    const auto from = build_mini({change});
    const auto into = build_mini({change});
    test::expect_state_dict_is_identity(*from, *into);
  }
}

// Those of Hugging Face are in its plugin.toml: tests/unit/plugin/hugging_face_test.cpp.
TEST(VisualBertTest, KnowsItsOlderNames) {
  const auto model = build_mini();
  const std::pair<const char*, const char*> names[] = {
      {"bert.bert.encoder.layer.0.output.dense.bias",
       "model.bert.encoder.layer.0.output.dense.bias"},
      {"bert.cls.predictions.bias", "model.cls.predictions.bias"},
      {"bert.classifier.1.weight", "model.classifier.1.weight"},
      {"model.cls.predictions.transform.LayerNorm.gamma",
       "model.cls.predictions.transform.LayerNorm.weight"},
      {"model.bert.embeddings.LayerNorm.beta", "model.bert.embeddings.LayerNorm.bias"}};
  for (const auto& [old, current] : names) {
    EXPECT_EQ(model->format_state_key(old), current);
    EXPECT_EQ(model->format_state_key(current), current);
  }
}

bool image_tables_are_those_of_words(const VisualBert& model) {
  const auto parameters = model.named_parameters();
  bool same = true;
  for (const char* table : {"position_embeddings", "token_type_embeddings"}) {
    const std::string name = concat("model.bert.embeddings.", table);
    same = same && parameters[name + "_visual.weight"].equal(parameters[name + ".weight"]);
  }
  return same;
}

TEST(VisualBertTest, NewImageTablesAreThoseOfWordsWhereAskedFor) {
  for (const bool asked : {true, false}) {
    const auto model =
        build_random(concat("special_visual_initialize = ", asked ? "true" : "false"));
    EXPECT_EQ(image_tables_are_those_of_words(*model), asked);
  }
}

// Weights of words alone, as BERT's: the tables of images begin as those of words.
TEST(VisualBertTest, ImageTablesBeginAsThoseOfWords) {
  const auto model = build_mini({"special_visual_initialize = true"});
  StateDict words;
  for (const auto& [key, tensor] : state_dict(*model)) {
    if (key.find("visual") == std::string::npos) words.emplace_back(key, tensor + 1);
  }
  model->on_pretrained_loaded(model->load_state_dict(words, Strict::kNo));
  EXPECT_TRUE(image_tables_are_those_of_words(*model));
}

TEST(VisualBertTest, MisfitsSayWhatFits) {
  const auto model = build_mini();
  const auto error_with = [&](const char* field, const at::Tensor& tensor) {
    SampleList batch = mini_batch();
    batch.set_field(field, tensor);
    return error_of(ErrorKind::kData, [&] { static_cast<void>(model->forward(batch)); });
  };
  EXPECT_THAT(error_with("image_feature_0", torch::zeros({2, 3, 6})),
              HasSubstr("the model expects [batch, regions, 7]; set visual_embedding_dim"));
  EXPECT_THAT(error_with("input_mask", torch::ones({2, 5}, torch::kLong)),
              HasSubstr("input_ids has the shape [2, 6] and input_mask [2, 5]"));
  SampleList long_text = mini_image();
  long_text.add_field("input_ids", torch::ones({2, 17}, torch::kLong));
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { static_cast<void>(model->forward(long_text)); }),
              HasSubstr("there are 17 tokens in a text, but 16 positions"));
}

}  // namespace
}  // namespace pergola::visual_bert
