// SPDX-License-Identifier: BSD-3-Clause
#include "plugins/cnn_lstm/cnn_lstm.h"

#include "pergola/registry.h"
#include "plugins/model_testing.h"
#include "plugins/precision.h"

namespace pergola::cnn_lstm {
namespace {

using test::close;
using test::error_of;
using test::logit_bce;
using test::parameter_names;
using test::without_gradient;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kClevr = "text_vocab_size = 80\nnum_final_outputs = 32";

// 2 layers: an image of 8 x 12 becomes 6 channels of 2 x 3 = 36 numbers, the question 2 * 4.
constexpr const char* kSmall = R"(
  text_vocab_size = 20
  num_final_outputs = 5
  text_embedding.embedding_dim = 3
  lstm = {input_size = 3, hidden_size = 4}
  cnn.layers = {input_dims = [3, 4], output_dims = [4, 6], kernel_sizes = [3, 1]}
  classifier.params.in_dim = 44
)";

std::shared_ptr<CnnLstm> build_small(const std::string& change = "") {
  torch::manual_seed(3);
  return test::build_model<CnnLstm>("cnn_lstm", {kSmall, change});
}

SampleList small_batch(std::int64_t samples) {
  torch::manual_seed(4);
  SampleList batch;
  batch.add_field("text", torch::randint(1, 20, {samples, 5}, torch::kLong));
  batch.add_field("image", torch::rand({samples, 3, 8, 12}));
  return batch;
}

TEST(CnnLstmTest, AnnouncesItselfUnderItsKey) {
  std::vector<Announcement> nodes;
  for (const Announcement* node = take_announcements(); node != nullptr; node = node->next) {
    nodes.push_back(*node);
  }
  Registry registry;
  registry.publish(nodes, "cnn_lstm_test");
  const auto model = registry.make_model("cnn_lstm", test::model_config("cnn_lstm", {kSmall}));
  EXPECT_NE(dynamic_cast<CnnLstm*>(model.get()), nullptr);
}

// MMF's own test of its model: the same seed, then the same calls, give its loss. In double
// precision it is 19.263528; in single precision the last digits depend on the number of threads,
// and MMF's own test allows 1.5e-4.
TEST(CnnLstmTest, ClevrModelGivesMmfsLoss) {
  torch::manual_seed(1234);
  const auto model = test::build_model<CnnLstm>("cnn_lstm", {kClevr});
  EXPECT_EQ(model->num_parameters(), 977'854);
  SampleList batch;
  batch.add_field("text", torch::randint(1, 79, {10}, torch::kLong).unsqueeze(0));
  batch.add_field("image", torch::randn({3, 320, 480}).unsqueeze(0));
  const at::Tensor targets_BC = torch::randn({32}).unsqueeze(0);
  const at::Tensor scores_BC = model->forward(batch).scores;
  EXPECT_THAT(scores_BC.sizes().vec(), ElementsAre(1, 32));
  EXPECT_NEAR(logit_bce(scores_BC, targets_BC).item<double>(), 19.2635, 1e-4);
}

TEST(CnnLstmTest, ConvNetGivesMmfsNumbers) {
  torch::manual_seed(1234);
  ConvNet layer({.in_channels = 150, .out_channels = 75, .kernel_size = 3});
  const at::Tensor y = layer.forward(torch::randn({4, 150, 64, 64}));
  EXPECT_THAT(y.sizes().vec(), ElementsAre(4, 75, 32, 32));
  EXPECT_NEAR(y[0][0][0][0].item<double>(), .149190, 1e-5);
  EXPECT_NEAR(y[3][74][31][31].item<double>(), -.25199, 1e-5);
}

// ReLU before pooling, as MMF writes it, and pooling first, as here, are the same to the last bit.
TEST(CnnLstmTest, PoolingFirstChangesNothing) {
  ConvNet layer({.in_channels = 3, .out_channels = 4, .kernel_size = 5});
  const at::Tensor x = torch::randn({2, 3, 10, 10});
  const auto weights = layer.named_parameters();
  const at::Tensor convolved =
      torch::conv2d(x, weights["conv.weight"], weights["conv.bias"], /*stride=*/1, /*padding=*/2);
  torch::nn::BatchNorm2d norm(4);
  const at::Tensor expected = norm->forward(torch::max_pool2d(torch::leaky_relu(convolved), 2));
  EXPECT_TRUE(torch::equal(layer.forward(x), expected));
}

TEST(CnnLstmTest, DropoutOfHiddenLayersActsInTrainingOnly) {
  const auto model = build_small("classifier.params = {num_layers = 1, batch_norm = false}");
  const SampleList batch = small_batch(3);
  (void)model->forward(batch);
  const at::Tensor first = model->forward(batch).scores;
  EXPECT_FALSE(close(model->forward(batch).scores, first, 1e-6));
  model->eval();
  const at::Tensor evaluation = model->forward(batch).scores;
  EXPECT_TRUE(torch::equal(model->forward(batch).scores, evaluation));
}

// A last batch of one sample was an error, which ended a training of hours at the end of its first
// epoch: the norms take their running statistics there. The convolutions' have more than one number
// in it, if the image is not shrunk to one pixel.
TEST(CnnLstmTest, ABatchOfOneSampleIsTrained) {
  const auto model = build_small("classifier.params = {num_layers = 1, dropout = 0.0}");
  const at::Tensor loss = model->forward(small_batch(1)).scores.square().sum();
  loss.backward();
  const at::Tensor mean = model->named_buffers()["classifier.module.layers.1.running_mean"];
  EXPECT_TRUE(mean.equal(torch::zeros_like(mean)));
  EXPECT_GT(model->named_parameters()["lstm.weight_hh_l0"].grad().abs().max().item<double>(), 0);
}

// Two layers shrink an image of 4 x 4 to one pixel: 6 numbers, and 2 * 4 from the LSTM.
TEST(CnnLstmTest, ABatchOfOneNumberAChannelIsTrained) {
  const auto model = build_small("classifier.params.in_dim = 14");
  SampleList one = small_batch(1);
  one.set_field("image", torch::rand({1, 3, 4, 4}));
  model->forward(one).scores.square().sum().backward();
  const auto buffers = model->named_buffers();
  const at::Tensor last = buffers["cnn.1.batch_norm_2d.running_mean"];
  EXPECT_TRUE(last.equal(torch::zeros_like(last)));
  const at::Tensor first = buffers["cnn.0.batch_norm_2d.running_mean"];  // 2 x 2 numbers a channel
  EXPECT_FALSE(first.equal(torch::zeros_like(first)));
}

// The same weights with each activation, chosen in the config, score differently.
TEST(CnnLstmTest, TheConfigChoosesTheActivation) {
  const auto scores = [](const char* hidden_act) {
    const auto model = build_small(
        concat("classifier.params = {num_layers = 1, hidden_act = '", hidden_act, "'}"));
    model->eval();
    return model->forward(small_batch(2)).scores;
  };
  EXPECT_TRUE(torch::equal(scores("relu"), scores("relu")));
  EXPECT_FALSE(close(scores("relu"), scores("gelu"), 1e-4));
  EXPECT_FALSE(close(scores("relu"), scores("tanh"), 1e-4));
  EXPECT_FALSE(close(scores("gelu"), scores("tanh"), 1e-4));
}

TEST(CnnLstmTest, StateDictAndBackIsTheIdentity) {
  test::expect_state_dict_is_identity(*build_small(), *build_small());
}

TEST(CnnLstmTest, StateDictHasMmfsNames) {
  std::vector<std::string> names;
  for (const auto& [key, tensor] : state_dict(*build_small())) names.push_back(key);
  std::vector<std::string> expected = {"text_embedding.weight"};
  for (const char* direction : {"", "_reverse"}) {
    for (const char* weight : {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}) {
      expected.push_back(concat("lstm.", weight, direction));
    }
  }
  for (const char* layer : {"cnn.0.", "cnn.1."}) {
    for (const char* name : {"conv.weight", "conv.bias", "batch_norm_2d.weight",
                             "batch_norm_2d.bias", "batch_norm_2d.running_mean",
                             "batch_norm_2d.running_var", "batch_norm_2d.num_batches_tracked"}) {
      expected.push_back(concat(layer, name));
    }
  }
  expected.insert(expected.end(),
                  {"classifier.module.layers.0.weight", "classifier.module.layers.0.bias"});
  EXPECT_EQ(names, expected);
}

// MMF reads the last states of both directions; the question backwards must matter too.
TEST(CnnLstmTest, BothDirectionsReachTheClassifier) {
  const auto model = build_small();
  const at::Tensor before = model->forward(small_batch(2)).scores;
  const at::NoGradGuard no_grad;
  model->named_parameters()["lstm.weight_ih_l0_reverse"].mul_(2);
  EXPECT_FALSE(close(model->forward(small_batch(2)).scores, before, 1e-6));
}

// 3 layers of width 2 and of both directions: 3 * 2 * 2 numbers.
TEST(CnnLstmTest, AllLayersOfTheLstmReachTheClassifier) {
  const auto model = build_small(R"(
      lstm = {hidden_size = 4, num_layers = 3, proj_size = 2, bias = false, dropout = 0.5}
      classifier.params.in_dim = 48)");
  EXPECT_THAT(model->forward(small_batch(2)).scores.sizes().vec(), ElementsAre(2, 5));
}

TEST(CnnLstmTest, OneSampleIsABatch) {
  EXPECT_THAT(build_small()->forward(small_batch(1)).scores.sizes().vec(), ElementsAre(1, 5));
}

TEST(CnnLstmTest, EvaluationUsesRunningStatistics) {
  const auto model = build_small();
  const at::Tensor training = model->forward(small_batch(3)).scores;
  model->eval();
  const at::Tensor evaluation = model->forward(small_batch(3)).scores;
  EXPECT_FALSE(close(training, evaluation, 1e-6));
  EXPECT_TRUE(torch::equal(model->forward(small_batch(3)).scores, evaluation));
}

TEST(CnnLstmTest, GradientReachesEveryParameter) {
  const auto model = build_small();
  const at::Tensor loss = model->forward(small_batch(3)).scores.square().sum();
  EXPECT_THAT(without_gradient(*model, loss), IsEmpty());
}

TEST(CnnLstmTest, TrainsInLowPrecision) {
  const auto model = build_small("lstm.dropout = 0.0\nclassifier.params.dropout = 0.0");
  const auto loss = [&] {
    return logit_bce(model->forward(small_batch(4)).scores, torch::ones({4, 5}));
  };
  test::expect_trains_in(host::Precision::kBf16, *model, test::kBf16Bound, loss);
  test::expect_trains_in(host::Precision::kFp16, *model, test::kFp16Bound, loss);
  EXPECT_FALSE(model->enable_recompute());  // batch norm would count a batch twice
}

TEST(CnnLstmTest, MissingFieldsAreNamed) {
  for (const char* name : {"text", "image"}) {
    const SampleList all = small_batch(2);
    const SampleList rest = all.get_fields({std::string(name) == "text" ? "image" : "text"});
    EXPECT_THAT(error_of(ErrorKind::kData, [&] { (void)build_small()->forward(rest); }),
                HasSubstr(name));
  }
}

TEST(CnnLstmTest, TextThatIsNotWordNumbersIsRefused) {
  for (const at::Tensor& text : {torch::zeros({2}, torch::kLong), torch::zeros({2, 5}),
                                 torch::zeros({2, 0}, torch::kLong)}) {
    SampleList batch = small_batch(2);
    batch.set_field("text", text);
    EXPECT_THAT(error_of(ErrorKind::kData, [&] { (void)build_small()->forward(batch); }),
                HasSubstr("; cnn_lstm expects int64 word numbers, [batch, words]"));
  }
}

// Two layers halve twice, so that 4 x 4 is the least.
TEST(CnnLstmTest, ImagesThatCannotBeHalvedAreRefused) {
  for (const auto& shape : std::vector<std::vector<std::int64_t>>{
           {2, 3, 8}, {2, 1, 8, 12}, {2, 3, 3, 12}, {2, 3, 8, 0}}) {
    SampleList batch = small_batch(2);
    batch.set_field("image", torch::zeros(shape));
    EXPECT_THAT(error_of(ErrorKind::kData, [&] { (void)build_small()->forward(batch); }),
                HasSubstr("expects [batch, 3, height, width] of at least 4 x 4 pixels"));
  }
}

TEST(CnnLstmTest, AnInputDimThatDoesNotFitTheImagesSaysWhichDoes) {
  SampleList batch = small_batch(2);
  batch.set_field("image", torch::zeros({2, 3, 16, 16}));
  // 6 channels of 4 x 4, and 2 * 4 from the LSTM.
  EXPECT_THAT(
      error_of(ErrorKind::kConfig, [&] { (void)build_small()->forward(batch); }),
      HasSubstr("classifier.params.in_dim = 44 does not fit images of [16, 16]: the LSTM gives "
                "8 numbers and the image 96; set it to 104"));
}

}  // namespace
}  // namespace pergola::cnn_lstm
