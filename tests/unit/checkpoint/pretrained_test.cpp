// SPDX-License-Identifier: BSD-3-Clause
// Weights of one model in another: which are taken, under which name, and what is said about it.
#include "host/checkpoint/pretrained.h"

#include "host/checkpoint/safetensors.h"
#include "unit/checkpoint/torch_file_kit.h"

#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>

#include <gmock/gmock.h>

namespace pergola::host::checkpoint_test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

at::Tensor numbered(double value) { return at::full({1}, value); }

TEST(StateMappingTest, APartOfTheFilesNamesBecomesOneOfTheModels) {
  const StateDict state = {{"bert.pooler.bias", numbered(1)}, {"cls.bias", numbered(2)}};
  const StateDict mapped = map_state(state, {"model.bert.pooler.bias", "model.classifier.bias"},
                                     {{"model.bert", "bert"}});
  EXPECT_THAT(names_of(mapped), ElementsAre("model.bert.pooler.bias"));
  EXPECT_EQ(mapped[0].second.item<float>(), 1);
}

// MMF's test_checkpoint.py maps {base_test: base}.
TEST(StateMappingTest, ThePartMayBeAnywhereInTheName) {
  const StateDict state = {{"a.base.0.weight", numbered(1)}, {"base.1.weight", numbered(2)}};
  const StateDict mapped =
      map_state(state, {"a.base_test.0.weight", "base_test.1.weight"}, {{"base_test", "base"}});
  EXPECT_THAT(names_of(mapped), ElementsAre("a.base_test.0.weight", "base_test.1.weight"));
}

TEST(StateMappingTest, AnEmptyPartIsInEveryName) {
  const StateDict state = {{"pooler.bias", numbered(1)}};
  EXPECT_THAT(names_of(map_state(state, {"bert.pooler.bias"}, {{"bert", ""}})),
              ElementsAre("bert.pooler.bias"));
  EXPECT_THAT(
      names_of(map_state({{"bert.pooler.bias", numbered(1)}}, {"pooler.bias"}, {{"", "bert"}})),
      ElementsAre("pooler.bias"));
}

TEST(StateMappingTest, OneWeightMayBeTakenTwice) {
  const StateDict state = {{"bert.bias", numbered(1)}};
  EXPECT_THAT(names_of(map_state(state, {"left.bias", "right.bias"},
                                 {{"left", "bert"}, {"right", "bert"}})),
              ElementsAre("left.bias", "right.bias"));
}

TEST(StateMappingTest, AMappingThatFitsNothingIsRefused) {
  const StateDict state = {{"bert.bias", numbered(1)}};
  EXPECT_EQ(error_of([&] {
              static_cast<void>(map_state(state, {"model.bias"}, {{"model", "brt"}}));
            }),
            "checkpoint.pretrained_state_mapping: \"model\" = \"brt\" fits no weight: it is {part "
            "of the model's names = part of the file's}, the model has such as 'model.bias', the "
            "file such as 'bert.bias'");
}

// The file's own names come first: what they are renamed to is for the rest.
TEST(StateMappingTest, TheFilesNamesAreTakenAsTheyAreAndThenRenamed) {
  const auto current = [](const std::string& name) {
    return name.starts_with("old.") ? "bert." + name.substr(4) : name;
  };
  const auto own_name = [](const std::string& name) {
    return name.starts_with("bert.") ? "model." + name : name;
  };
  const std::vector<std::string> own = {"model.bert.x", "model.bert.y"};
  const std::vector<Renaming> renamings = {
      current, [&](const std::string& name) { return own_name(current(name)); }};
  const StateDict files[] = {{{"bert.x", numbered(1)}, {"old.y", numbered(2)}},
                             {{"model.bert.x", numbered(1)}, {"old.y", numbered(2)}}};
  for (const StateDict& file : files) {
    for (const StateMapping& mapping :
         {StateMapping{{"model.bert", "bert"}}, StateMapping{{"model.bert", "model.bert"}}}) {
      if (&file == &files[1] && mapping.at("model.bert") == "bert") continue;
      const StateDict mapped = map_state(file, own, mapping, renamings);
      ASSERT_THAT(names_of(mapped), ElementsAre("model.bert.x", "model.bert.y"));
      EXPECT_EQ(mapped[0].second.item<float>(), 1);
      EXPECT_EQ(mapped[1].second.item<float>(), 2);
    }
  }
  // One of them is there as it is; the other would be it after a renaming.
  const StateDict both = {{"bert.x", numbered(1)}, {"old.x", numbered(2)}};
  EXPECT_EQ(map_state(both, own, {{"model.bert", "bert"}}, renamings)[0].second.item<float>(), 1);
  EXPECT_THAT(error_of([&] {
                static_cast<void>(map_state(files[0], own, {{"model.bert", "brt"}}, renamings));
              }),
              HasSubstr("the file such as 'bert.x'"));
}

TEST(StateMappingTest, TwoWeightsForOneNameAreRefused) {
  EXPECT_THAT(error_of([] {
                static_cast<void>(map_state({{"a.b.x", numbered(1)}, {"b.a.x", numbered(2)}},
                                            {"m.a.x"}, {{"m", "b"}}));
              }),
              HasSubstr("takes both 'a.b.x' and 'b.a.x' for one weight"));
  EXPECT_THAT(error_of([] {
                static_cast<void>(map_state({{"a.x", numbered(1)}, {"b.m.x", numbered(2)}},
                                            {"m.n.x"}, {{"m.n", "a"}, {"n", "b"}}));
              }),
              AllOf(HasSubstr("\"n\" = \"b\" gives 'm.n.x' the weight 'b.m.x'"),
                    HasSubstr("another line gives it 'a.x'")));
}

TEST(PositionTablesTest, ALongerTableIsCutAndAShorterOneBeginsAgain) {
  // Rows 0, 1, 2 of the file; the model has 2 and 5.
  const at::Tensor table = at::arange(3, at::kFloat).unsqueeze(1).expand({3, 4});
  StateDict state = {{"a.position_embeddings.weight", table},
                     {"b.position_embeddings_visual.weight", table}};
  const StateDict own = {{"a.position_embeddings.weight", at::zeros({2, 4})},
                         {"b.position_embeddings_visual.weight", at::zeros({5, 4})}};
  const StateDict before = resize_position_tables(state, own);
  EXPECT_THAT(names_of(before),
              ElementsAre("a.position_embeddings.weight", "b.position_embeddings_visual.weight"));
  EXPECT_EQ(before[0].second.size(0), 3);
  EXPECT_TRUE(state[0].second.select(1, 0).equal(at::tensor({0.F, 1.F})));
  EXPECT_TRUE(state[1].second.select(1, 0).equal(at::tensor({0.F, 1.F, 2.F, 0.F, 1.F})));
}

TEST(PositionTablesTest, OtherTablesAndOtherWidthsStayAsTheyAre) {
  StateDict state = {{"word_embeddings.weight", at::zeros({3, 4})},
                     {"position_embeddings.weight", at::zeros({3, 5})},
                     {"position_ids", at::arange(3).unsqueeze(0)}};
  const StateDict own = {{"word_embeddings.weight", at::zeros({2, 4})},
                         {"position_embeddings.weight", at::zeros({2, 4})},
                         {"position_ids", at::arange(2).unsqueeze(0)}};
  EXPECT_THAT(names_of(resize_position_tables(state, own)), ElementsAre("position_ids"));
  EXPECT_EQ(state[2].second.size(1), 2);
}

// bert.{position_embeddings.weight [2, 3], dense.{weight [2, 3], bias}}, head.{weight [1, 2],
// bias}; an older release called dense "linear".
class TinyBert final : public BaseModel {
 public:
  TinyBert() : BaseModel(Config()) { build(); }
  void build() override {
    auto bert = register_module("bert", std::make_shared<torch::nn::Module>());
    bert->register_module("position_embeddings", torch::nn::Embedding(2, 3).ptr());
    bert->register_module("dense", torch::nn::Linear(3, 2).ptr());
    register_module("head", torch::nn::Linear(2, 1));
  }
  ModelOutput forward(const SampleList& /*batch*/) override { return {}; }
  [[nodiscard]] std::string format_state_key(const std::string& key) const override {
    const std::size_t at = key.find("linear.");
    return at == std::string::npos ? key : key.substr(0, at) + "dense." + key.substr(at + 7);
  }
  void on_pretrained_loaded(const LoadReport& report) override { told = report.missing_keys; }

  std::vector<std::string> told;
};

class PretrainedTest : public testing::Test {
 protected:
  PretrainedReport load(const StateDict& state, const PretrainedOptions& options = {}) {
    write_safetensors(file_, state);
    return load_pretrained(model_, file_, options);
  }
  std::string load_error(const StateDict& state, const PretrainedOptions& options = {}) {
    const StateDict before = copy();
    std::string message = error_of([&] { static_cast<void>(load(state, options)); });
    EXPECT_TRUE(same_state(state_dict(model_), before)) << "the model has changed";
    return message;
  }
  StateDict copy() {
    StateDict state;
    for (const auto& [name, tensor] : state_dict(model_)) state.emplace_back(name, tensor.clone());
    return state;
  }
  at::Tensor weight(const std::string& name) {
    for (const auto& [key, tensor] : state_dict(model_)) {
      if (key == name) return tensor;
    }
    return {};
  }

  TempFolder folder_{memory_or_disk()};
  fs::path file_ = folder_ / "weights.safetensors";
  TinyBert model_;
};

TEST_F(PretrainedTest, WhatFitsIsTakenAndTheRestIsInTheTable) {
  const PretrainedReport report = load({{"bert.linear.weight", at::full({2, 3}, 5.0)},
                                        {"bert.linear.bias", at::full({2}, 6.0)},
                                        {"cls.bias", at::zeros({7})}});
  EXPECT_EQ(weight("bert.dense.weight").min().item<float>(), 5);
  EXPECT_EQ(weight("bert.dense.bias").min().item<float>(), 6);
  EXPECT_EQ(report.summary(),
            "took 2 of the model's 5 weights (safetensors); 3 missing in it, 1 left out of it");
  EXPECT_EQ(report.table,
            "\n  weight                           file     model"
            "\n  bert.position_embeddings.weight  missing  [2, 3]"
            "\n  head.weight                      missing  [1, 2]"
            "\n  head.bias                        missing  [1]"
            "\n  cls.bias                         [7]      left out");
  EXPECT_EQ(model_.told, report.missing);
}

TEST_F(PretrainedTest, TheMappingTakesAPartOfTheFile) {
  const PretrainedReport report =
      load({{"encoder.dense.bias", at::full({2}, 6.0)}, {"head.bias", at::full({1}, 9.0)}},
           {.mapping = {{"bert", "encoder"}}, .resize_positions = false});
  EXPECT_EQ(weight("bert.dense.bias").min().item<float>(), 6);
  EXPECT_NE(weight("head.bias").item<float>(), 9);
  EXPECT_EQ(report.matched, 1U);
  EXPECT_THAT(report.left_out, ElementsAre("head.bias"));
}

TEST_F(PretrainedTest, OtherShapesAreRefusedWithATable) {
  EXPECT_EQ(load_error({{"head.bias", at::zeros({4})},
                        {"bert.dense.bias", at::zeros({2})},
                        {"bert.position_embeddings.weight", at::zeros({8, 3})}}),
            file_.string() +
                " (safetensors) has 2 of 3 weights in other shapes than the model; name the parts "
                "that fit in checkpoint.pretrained_state_mapping, or, for tables of positions, set "
                "checkpoint.pretrained_resize_positions = true, or leave such weights out with "
                "checkpoint.bypass_shape_mismatch = true"
                "\n  weight                           file    model"
                "\n  bert.position_embeddings.weight  [8, 3]  [2, 3]"
                "\n  head.bias                        [4]     [1]");
}

TEST_F(PretrainedTest, OtherShapesAreLeftOutOnRequest) {
  const at::Tensor head = weight("head.bias").clone();
  const PretrainedReport report =
      load({{"head.bias", at::zeros({4})}, {"bert.dense.bias", at::full({2}, 6.0)}},
           {.bypass_shape_mismatch = true});
  EXPECT_EQ(weight("bert.dense.bias").min().item<float>(), 6);
  EXPECT_TRUE(weight("head.bias").equal(head));
  EXPECT_EQ(report.matched, 1U);
  EXPECT_THAT(report.missing, Contains("head.bias"));
  EXPECT_THAT(report.left_out, ElementsAre("head.bias"));
  EXPECT_THAT(report.table, HasSubstr("head.bias                        [4]      [1], left out"));
  EXPECT_THAT(report.table, Not(HasSubstr("head.bias                        missing")));
}

TEST_F(PretrainedTest, NothingButOtherShapesIsRefusedAllTheSame) {
  EXPECT_THAT(load_error({{"head.bias", at::zeros({4})}}, {.bypass_shape_mismatch = true}),
              HasSubstr(" has 1 of 1 weights in other shapes than the model; "));
}

TEST_F(PretrainedTest, NumbersThatArePackedAreRefused) {
  const std::string packed = global("torch._utils", "_rebuild_tensor_v3") +
                             tuple({storage("UntypedStorage", "0", 6), integer(0), integers({2, 3}),
                                    integers({3, 1}), "\x89", "}", global("torch", "bits8")}) +
                             "R";
  write_bytes(file_, torch_zip(dict({{"bert.dense.weight", packed}}), {std::string(6, '\0')}));
  EXPECT_EQ(error_of([&] { static_cast<void>(load_pretrained(model_, file_, {})); }),
            file_.string() +
                " has Bits8 for 'bert.dense.weight', numbers that are packed into bytes, and the "
                "model takes Float; use weights that are not quantized, or unpack these in Python");
}

TEST_F(PretrainedTest, PositionTablesOfOtherLengthsAreTakenOnRequest) {
  const at::Tensor table = at::arange(12, at::kFloat).reshape({4, 3});
  const PretrainedReport report =
      load({{"bert.position_embeddings.weight", table}}, {.mapping = {}, .resize_positions = true});
  EXPECT_TRUE(weight("bert.position_embeddings.weight").equal(table.slice(0, 0, 2)));
  EXPECT_THAT(report.resized, ElementsAre("bert.position_embeddings.weight"));
  EXPECT_THAT(report.summary(), HasSubstr(", 1 got another length"));
  EXPECT_THAT(report.table, HasSubstr("bert.position_embeddings.weight  [4, 3]   [2, 3], resized"));
}

TEST_F(PretrainedTest, WeightsOfAnotherModelAreRefused) {
  EXPECT_THAT(load_error({{"conv.weight", at::zeros({2, 2})}}),
              AllOf(HasSubstr("none of the 1 weights in "),
                    HasSubstr("is the model's, whose first is 'bert.position_embeddings.weight'"),
                    HasSubstr("\n  conv.weight  [2, 2]  left out")));
}

TEST_F(PretrainedTest, TwoKeysForOneWeightAreRefused) {
  EXPECT_THAT(
      load_error({{"bert.dense.bias", at::zeros({2})}, {"bert.linear.bias", at::zeros({2})}}),
      HasSubstr("the file has both 'bert.dense.bias' and 'bert.linear.bias' for the model's "
                "'bert.dense.bias'; name the one that is meant"));
}

TEST_F(PretrainedTest, HalfPrecisionBecomesTheModelsOwn) {
  const PretrainedReport report = load({{"head.bias", at::full({1}, 1.5, at::kHalf)}});
  EXPECT_EQ(weight("head.bias").scalar_type(), at::kFloat);
  EXPECT_EQ(weight("head.bias").item<float>(), 1.5F);
  EXPECT_THAT(report.left_out, IsEmpty());
}

TEST_F(PretrainedTest, WhatIsLeftOutKeepsTheFilesName) {
  const PretrainedReport report =
      load({{"bert.dense.bias", at::zeros({2})}, {"cls.linear.bias", at::zeros({2})}});
  EXPECT_THAT(report.left_out, ElementsAre("cls.linear.bias"));
  EXPECT_THAT(load_error({{"cls.linear.bias", at::zeros({2})}}),
              HasSubstr("\n  cls.linear.bias  "));
}

// As TinyBert at Hugging Face, "tiny.*" there, with a head whose weight is that of the words.
class TiedBert final : public BaseModel {
 public:
  TiedBert() : BaseModel(Config()) { build(); }
  void build() override {
    auto bert = register_module("bert", std::make_shared<torch::nn::Module>());
    const at::Tensor words = bert->register_parameter("words", at::zeros({3, 2}));
    bert->register_buffer("position_ids", at::arange(4));
    auto decoder = register_module("decoder", std::make_shared<torch::nn::Module>());
    decoder->register_parameter("weight", words);
    register_module("head", torch::nn::Linear(2, 1));
  }
  ModelOutput forward(const SampleList& /*batch*/) override { return {}; }
  void on_pretrained_loaded(const LoadReport& report) override { told = report.missing_keys; }

  std::vector<std::string> told;
};

// Hugging Face's safetensors have a shared tensor once, and no constants.
TEST(TiedWeightsTest, AreThereUnderAnyOfTheirNames) {
  const TempFolder folder{memory_or_disk()};
  const fs::path file = folder / "weights.safetensors";
  HuggingFaceFormat format;
  format.skip = {"position_ids"};
  format.classes = {{.name = "Tiny", .names = {{"bert", "tiny"}}, .sizes = {}}};
  for (const StateMapping& mapping : {StateMapping{}, StateMapping{{"bert", "tiny"}}}) {
    TiedBert model;
    write_safetensors(file, {{"tiny.words", at::full({3, 2}, 4.0)}});
    const PretrainedReport report =
        load_pretrained(model, file, {.mapping = mapping, .hugging_face = &format});
    EXPECT_EQ(state_dict(model)[2].second.min().item<float>(), 4);  // decoder.weight
    EXPECT_EQ(report.summary(),
              "took 2 of the model's 4 weights (safetensors); 2 missing in it, 0 left out of it");
    EXPECT_THAT(report.missing, ElementsAre("head.weight", "head.bias"));
    EXPECT_EQ(model.told, report.missing);
  }
}

}  // namespace
}  // namespace pergola::host::checkpoint_test
