// SPDX-License-Identifier: BSD-3-Clause
// The ten fusions: what each option does, and what is refused; nn_fusions_golden_test.cpp has their
// numbers.
#include "host/device/waiting_operations.h"
#include "pergola/error.h"
#include "pergola/nn/fusions.h"
#include "pergola/state_dict.h"
#include "plugins/model_testing.h"
#include "unit/sdk/data_error.h"
#include "unit/sdk/nn_golden.h"

#include <ATen/Parallel.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace pergola::nn {
namespace {

using pergola::test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Table = Value::Table;

std::string fusion_problem(const std::string& type, const Table& params) {
  return error_of(ErrorKind::kConfig, [&] { static_cast<void>(fusion_config(type, params)); });
}

// Each of the ten, small.
struct Small {
  const char* type;
  Table params;
};

const std::vector<Small>& all() {
  static const std::vector<Small> all = {{"block", {{"mm_dim", 20}, {"chunks", 5}}},
                                         {"block_tucker", {{"mm_dim", 20}, {"chunks", 5}}},
                                         {"mutan", {{"mm_dim", 20}}},
                                         {"tucker", {{"mm_dim", 20}}},
                                         {"mlb", {{"mm_dim", 20}}},
                                         {"mfb", {{"mm_dim", 20}}},
                                         {"mfh", {{"mm_dim", 20}}},
                                         {"mcb", {{"mm_dim", 100}}},
                                         {"linear_sum", {{"mm_dim", 20}}},
                                         {"concat_mlp", {{"dimensions", Value::Array{5, 5}}}}};
  return all;
}

class FusionTest : public ::testing::Test {
 protected:
  FusionTest() {
    at::set_num_threads(1);  // threads that wait for each other help no tensor of this size
  }

  // What `body` says, of each type.
  template <class Body>
  void each(Body body) {
    for (const Small& one : all()) {
      SCOPED_TRACE(one.type);
      now_ = &one;
      torch::manual_seed(3);
      body();
    }
  }

  [[nodiscard]] std::shared_ptr<Fusion> make(const Table& more = {},
                                             const FusionInputs& inputs = {10, 20}) const {
    Table params = now_->params;
    for (const auto& [key, value] : more) params.insert_or_assign(key, value);
    return make_fusion(fusion_config(now_->type, params), inputs, /*output_dim=*/2);
  }
  [[nodiscard]] bool has(const std::string& param) const {
    try {
      static_cast<void>(fusion_config(now_->type, {{param, Table{}}}));
    } catch (const Error& error) {  // a table is nothing that it could be
      return std::string(error.what()).find("is not a known key") == std::string::npos;
    }
    return true;
  }
  // The result when nothing but the last bias is left.
  [[nodiscard]] at::Tensor of_bias(const Fusion& fusion) const {
    const std::string name =
        std::string(now_->type) == "concat_mlp" ? "mlp.linears.2.bias" : "linear_out.bias";
    const at::Tensor bias = fusion.named_parameters()[name];
    const bool relu = fusion_config(now_->type, {}).activ_output.has_value();
    return (relu ? bias.relu() : bias).expand({2, 2});
  }

  const Small* now_ = nullptr;
  const at::Tensor x0_ = pergola::test::ramp({2, 10}, 1.9, 0.3);
  const at::Tensor x1_ = pergola::test::ramp({2, 20}, 1.3, 0.7);
};

// MMF's own test of its fusions.
TEST_F(FusionTest, TwoInputsOfAnyWidthGiveTheOutputDim) {
  each([&] { EXPECT_THAT(make()->forward(x0_, x1_).sizes(), ElementsAre(2, 2)); });
}

TEST_F(FusionTest, ASampleAloneGivesWhatItGivesInABatch) {
  each([&] {
    const auto fusion = make();
    fusion->to(torch::kDouble);
    const at::Tensor x0 = x0_.to(torch::kDouble), x1 = x1_.to(torch::kDouble);
    const at::Tensor both = fusion->forward(x0, x1);
    const at::Tensor one = fusion->forward(x0.narrow(0, 1, 1), x1.narrow(0, 1, 1));
    EXPECT_TRUE(pergola::test::close(one[0], both[1], 1e-10));
  });
}

TEST_F(FusionTest, InputsAreNotChanged) {
  each([&] {
    const at::Tensor before0 = x0_.clone(), before1 = x1_.clone();
    static_cast<void>(make()->forward(x0_, x1_));
    EXPECT_TRUE(x0_.equal(before0) && x1_.equal(before1));
  });
}

TEST_F(FusionTest, EveryParameterIsTrainedAndNothingWaitsForTheDevice) {
  each([&] {
    const auto fusion = make();
    const ::pergola::host::WaitingOperations watch;
    fusion->forward(x0_, x1_).sum().backward();
    EXPECT_THAT(watch.counts(), IsEmpty());
    for (const auto& item : fusion->named_parameters()) {
      EXPECT_TRUE(item.value().grad().defined()) << item.key();
    }
  });
}

TEST_F(FusionTest, LearnsAProduct) {
  each([&] {
    const at::Tensor x0 = torch::randn({64, 6}), x1 = torch::randn({64, 5});
    const at::Tensor target =
        (x0.narrow(1, 0, 3) * x1.narrow(1, 0, 3)).sum(1, /*keepdim=*/true).expand({64, 2});
    const auto fusion =
        make(has("activ_output") ? Table{{"activ_output", "none"}} : Table{}, {6, 5});
    torch::optim::Adam optimizer(fusion->parameters(), torch::optim::AdamOptions(0.01));
    double first = 0, last = 0;
    for (int step = 0; step < 150; ++step) {
      optimizer.zero_grad();
      const at::Tensor loss = torch::mse_loss(fusion->forward(x0, x1), target);
      loss.backward();
      optimizer.step();
      last = loss.item<double>();
      if (step == 0) first = last;
    }
    EXPECT_LT(last, 0.5 * first);
  });
}

TEST_F(FusionTest, DropoutOfAllInputsLeavesNothingOfThem) {
  each([&] {
    if (!has("dropout_input")) return;  // mcb, concat_mlp
    const auto fusion = make({{"dropout_input", 1}});
    EXPECT_TRUE(fusion->forward(x0_, x1_).equal(fusion->forward(x0_ + 1, x1_ * 2)));
    EXPECT_FALSE(make()->forward(x0_, x1_).equal(make()->forward(x0_ + 1, x1_ * 2)));
  });
}

TEST_F(FusionTest, DropoutBeforeTheLastLayerLeavesItsBias) {
  each([&] {
    for (const char* param : {"dropout_pre_lin", "dropout_pre_norm", "dropout"}) {
      if (!has(param)) continue;
      const auto fusion = make({{param, 1}});
      EXPECT_TRUE(fusion->forward(x0_, x1_).equal(of_bias(*fusion))) << param;
      fusion->eval();
      EXPECT_FALSE(fusion->forward(x0_, x1_).equal(of_bias(*fusion))) << param;
    }
  });
}

TEST_F(FusionTest, DropoutOfTheOutputLeavesNothing) {
  each([&] {
    if (!has("dropout_output")) return;  // concat_mlp
    EXPECT_EQ(make({{"dropout_output", 1}})->forward(x0_, x1_).abs().sum().item<double>(), 0);
  });
}

TEST_F(FusionTest, ParametersThatItDoesNotHaveAreRefused) {
  each([&] {
    const std::string message = fusion_problem(now_->type, {{"mm_dims", 3}});
    EXPECT_THAT(message, HasSubstr("model_config.m.part.params.mm_dims is not a known key"));
  });
}

TEST_F(FusionTest, OtherShapesAreRefused) {
  each([&] {
    const auto fusion = make();
    const auto refusal = [&](const at::Tensor& x0, const at::Tensor& x1) {
      return data_error([&] { static_cast<void>(fusion->forward(x0, x1)); });
    };
    EXPECT_EQ(refusal(x1_, x0_),
              "a fusion got inputs of the shapes [2, 20] and [2, 10]; expected [batch, 10] and "
              "[batch, 20]");
    EXPECT_THAT(refusal(x0_, x1_.narrow(0, 0, 1)), HasSubstr("[2, 10] and [1, 20]; expected"));
    EXPECT_THAT(refusal(x0_[0], x1_[0]), HasSubstr("[10] and [20]; expected"));
    EXPECT_THAT(refusal(torch::zeros({2, 3, 10, 4}), torch::zeros({2, 3, 20, 4})),
                HasSubstr("[2, 3, 10, 4]"));
  });
}

TEST(FusionConfigTest, DefaultsAreMmfs) {
  const std::map<std::string, std::int64_t> widths = {
      {"block", 1600},  {"block_tucker", 1600}, {"mutan", 1600},
      {"tucker", 1600}, {"mlb", 1200},          {"mfb", 1200},
      {"mfh", 1200},    {"linear_sum", 1200},   {"mcb", 16000}};
  for (const auto& [type, mm_dim] : widths) {
    const FusionConfig config = fusion_config(type, {});
    EXPECT_EQ(config.mm_dim, mm_dim) << type;
    const bool first_four = mm_dim == 1600;
    EXPECT_EQ(config.activ_output.has_value(), !first_four) << type;
    EXPECT_EQ(config.norm == FusionNorm::kEachChunk, type.starts_with("block")) << type;
    EXPECT_EQ(config.dropout_input + config.dropout_pre_lin + config.dropout_output, 0) << type;
  }
  EXPECT_EQ(FusionConfig().chunks, 20);
  EXPECT_EQ(FusionConfig().rank, 15);
  EXPECT_EQ(FusionConfig().factor, 2);
  EXPECT_FALSE(FusionConfig().shared);
  EXPECT_EQ(FusionConfig().norm, FusionConfig::defaults(FusionType::kBlock).norm);
  EXPECT_THAT(fusion_config("concat_mlp", {}).dimensions, ElementsAre(500, 500));
  EXPECT_EQ(fusion_config("concat_mlp", {}).activation, Activation::kRelu);
}

TEST(FusionConfigTest, ABareNameIsEnough) {
  const Config config(Table{{"part", "mutan"}}, "model_config.m");
  EXPECT_EQ(FusionConfig::parse(config, "part").type, FusionType::kMutan);
}

TEST(FusionConfigTest, ChunksAreAsEqualAsMmfMakesThem) {
  const auto sizes = [](std::int64_t mm_dim, std::int64_t chunks) {
    return fusion_config("block", {{"mm_dim", mm_dim}, {"chunks", chunks}}).chunk_sizes();
  };
  EXPECT_EQ(sizes(1600, 20), std::vector<std::int64_t>(20, 80));
  EXPECT_THAT(sizes(10, 4), ElementsAre(3, 3, 3, 1));
  EXPECT_THAT(sizes(7, 5), ElementsAre(2, 2, 1, 1, 1));
  EXPECT_THAT(sizes(6, 4), ElementsAre(2, 2, 1, 1));  // in MMF 2, 2, 2, 0, which fails
  EXPECT_THAT(sizes(3, 3), ElementsAre(1, 1, 1));
  EXPECT_THAT(sizes(3, 1), ElementsAre(3));
}

TEST(FusionConfigTest, OtherTypesAreRefused) {
  EXPECT_EQ(fusion_problem("mutann", {}),
            "model_config.m.part has type 'mutann', which is not a fusion; did you mean 'mutan'?");
  EXPECT_THAT(fusion_problem("bilinear_pooling", {}),
              HasSubstr("which is not a fusion; known are block, block_tucker, mutan, tucker, mlb, "
                        "mfb, mfh, mcb, linear_sum, concat_mlp"));
  EXPECT_EQ(error_of(ErrorKind::kConfig,
                     [] { static_cast<void>(FusionConfig::parse(Config(Table{}, "m"), "part")); })
                .substr(0, 6),
            "m.part");
}

TEST(FusionConfigTest, NumbersOutOfBoundsAreRefused) {
  EXPECT_THAT(fusion_problem("mlb", {{"mm_dim", 0}}),
              HasSubstr("mm_dim = 0 is out of range; expected 1 to 65536"));
  EXPECT_THAT(fusion_problem("mutan", {{"rank", 0}}), HasSubstr("expected 1 to 1024"));
  EXPECT_THAT(fusion_problem("mfb", {{"factor", -1}}), HasSubstr("expected 1 to 1024"));
  EXPECT_THAT(fusion_problem("mfh", {{"dropout_pre_lin", 1.5}}), HasSubstr("expected 0 to 1"));
  EXPECT_THAT(fusion_problem("block", {{"mm_dim", 10}}),
              HasSubstr("chunks is more than mm_dim = 10"));
  EXPECT_THAT(fusion_problem("block", {{"mm_dim", 10}, {"chunks", 11}}),
              HasSubstr("chunks = 11 is more than mm_dim = 10; each chunk needs a part of it"));
  EXPECT_THAT(fusion_problem("concat_mlp", {{"dimensions", Value::Array{5, 0}}}),
              HasSubstr("must list the widths of up to 64 hidden layers, each from 1 to 65536"));
}

TEST(FusionConfigTest, WordsOutOfTheListAreRefused) {
  EXPECT_THAT(fusion_problem("mlb", {{"activ_input", "rellu"}}),
              HasSubstr("is not one of none, relu, gelu, gelu_new, tanh; did you mean 'relu'?"));
  EXPECT_THAT(fusion_problem("block", {{"pos_norm", "before_cut"}}),
              HasSubstr("is not one of before_cat, after_cat; did you mean 'before_cat'?"));
}

TEST(FusionConfigTest, AParamOfAnotherTypeIsRefused) {
  EXPECT_THAT(fusion_problem("mfb", {{"dropout_pre_lin", 0.1}}),
              HasSubstr("dropout_pre_lin is not a known key; did you mean"));
  EXPECT_THAT(fusion_problem("mcb", {{"normalize", true}}),
              HasSubstr("normalize is not a known key"));
  EXPECT_THAT(fusion_problem("block", {{"normalize", true}}),
              HasSubstr("normalize is not a known key"));
}

TEST(FusionConfigTest, ABilinearLayerThatNoMachineHoldsIsRefused) {
  EXPECT_THAT(fusion_problem("tucker", {{"mm_dim", 4096}}),
              HasSubstr("mm_dim = 4096 makes a bilinear layer with 4096^3 weights; expected at "
                        "most 2048^3: use a smaller mm_dim, or block_tucker"));
  EXPECT_THAT(fusion_problem("block_tucker", {{"mm_dim", 60000}}),
              HasSubstr("with 3000^3 weights; expected at most 2048^3: use a smaller mm_dim, more "
                        "chunks"));
}

TEST(FusionConfigTest, SharedLayersNeedInputsOfOneWidth) {
  const FusionConfig config = fusion_config("block", {{"shared", true}});
  EXPECT_EQ(error_of(ErrorKind::kConfig,
                     [&] {
                       static_cast<void>(make_fusion(config, {10, 20}, 2));
                     }),
            "model_config.m.part.params.shared = true needs two inputs of one width; found 10 and "
            "20");
}

// MMF draws places, then signs, of each input with torch's generator, and so gets these.
TEST(McbTest, SketchesAreDrawnInMmfsOrder) {
  torch::manual_seed(5);
  const auto fusion = make_fusion(fusion_config("mcb", {{"mm_dim", 9}}), {5, 6}, 2);
  for (const auto& item : fusion->named_buffers()) {
    const at::Tensor& sketch = item.value();
    const nlohmann::json& expected = golden().at("sketches").at(item.key().substr(4));
    ASSERT_EQ(sketch.size(0), static_cast<std::int64_t>(expected.size()));
    EXPECT_EQ(sketch.abs().sum().item<double>(), static_cast<double>(expected.size()));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i);
      EXPECT_EQ(sketch[row][expected.at(i).at(0).get<std::int64_t>()].item<double>(),
                expected.at(i).at(1).get<double>());
    }
  }
}

TEST(McbTest, SketchesAreSavedButNotTrained) {
  const auto fusion = make_fusion(fusion_config("mcb", {{"mm_dim", 9}}), {5, 6}, 2);
  EXPECT_THAT(pergola::test::parameter_names(*fusion),
              ElementsAre("linear_out.weight", "linear_out.bias"));
  EXPECT_EQ(state_dict(*fusion).size(), 4U);
}

// linear_out is affine: maps give the sum over places of what vectors give, with one bias.
TEST(McbTest, MapsAreSummedOverPlaces) {
  torch::manual_seed(5);
  const auto fusion =
      make_fusion(fusion_config("mcb", {{"mm_dim", 9}, {"activ_output", "none"}}), {5, 6}, 2);
  fusion->to(torch::kDouble);
  const at::Tensor map0 = torch::randn({3, 5, 2, 4}, torch::kDouble);
  const at::Tensor map1 = torch::randn({3, 6, 2, 4}, torch::kDouble);
  const at::Tensor bias = fusion->named_parameters()["linear_out.bias"];
  at::Tensor expected = bias.expand({3, 2});
  for (std::int64_t place = 0; place < 8; ++place) {
    const auto at = [&](const at::Tensor& map) { return map.flatten(2).select(2, place); };
    expected = expected + fusion->forward(at(map0), at(map1)) - bias;
  }
  EXPECT_TRUE(pergola::test::close(fusion->forward(map0, map1), expected, 1e-10));
  EXPECT_THAT(data_error([&] { static_cast<void>(fusion->forward(map0, map1.narrow(3, 0, 3))); }),
              HasSubstr("[3, 6, 2, 3]; expected"));
}

TEST(ConcatMlpTest, AVectorStandsBesideEveryTokenOfTheOther) {
  torch::manual_seed(5);
  const auto fusion =
      make_fusion(fusion_config("concat_mlp", {{"dimensions", Value::Array{7}}}), {5, 6}, 2);
  const at::Tensor tokens0 = torch::randn({3, 4, 5}), tokens1 = torch::randn({3, 4, 6});
  const at::Tensor x0 = torch::randn({3, 5}), x1 = torch::randn({3, 6});
  const at::Tensor first = fusion->forward(tokens0, x1);
  const at::Tensor second = fusion->forward(x0, tokens1);
  const at::Tensor both = fusion->forward(tokens0, tokens1);
  for (std::int64_t t = 0; t < 4; ++t) {
    const at::Tensor one0 = tokens0.select(1, t), one1 = tokens1.select(1, t);
    EXPECT_TRUE(pergola::test::close(first.select(1, t), fusion->forward(one0, x1), 1e-6));
    EXPECT_TRUE(pergola::test::close(second.select(1, t), fusion->forward(x0, one1), 1e-6));
    EXPECT_TRUE(pergola::test::close(both.select(1, t), fusion->forward(one0, one1), 1e-6));
  }
  EXPECT_THAT(
      data_error([&] { static_cast<void>(fusion->forward(tokens0, tokens1.narrow(1, 0, 3))); }),
      HasSubstr("[3, 4, 5] and [3, 3, 6]; expected"));
}

// MMF's tucker makes two sets of layers whatever `shared` says; ours one.
TEST(TuckerTest, SharesItsFirstLayer) {
  const auto fusion =
      make_fusion(fusion_config("tucker", {{"mm_dim", 3}, {"shared", true}}), {5, 5}, 2);
  const auto parameters = fusion->named_parameters();
  EXPECT_TRUE(parameters["linear0.weight"].is_same(parameters["linear1.weight"]));
}

}  // namespace
}  // namespace pergola::nn
