// SPDX-License-Identifier: BSD-3-Clause
// What CnnLstmConfig::parse takes and refuses; each refusal pins its sentence.
#include "plugins/cnn_lstm/cnn_lstm_config.h"

#include "plugins/model_config.h"

#include <gmock/gmock.h>

namespace pergola::cnn_lstm {
namespace {

using test::error_of;
using test::model_config;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr const char* kSizes = "text_vocab_size = 80\nnum_final_outputs = 32";

CnnLstmConfig parse(const std::string& change) {
  return CnnLstmConfig::parse(model_config("cnn_lstm", {kSizes, change}));
}

std::string refusal(const std::string& change) {
  return error_of(ErrorKind::kConfig, [&] { (void)parse(change); });
}

TEST(CnnLstmConfigTest, DefaultsAreMmfs) {
  const CnnLstmConfig config = parse("");
  EXPECT_EQ(config.lstm.input_size, 20);
  EXPECT_EQ(config.lstm.hidden_size, 50);
  EXPECT_TRUE(config.lstm.bidirectional);
  ASSERT_THAT(config.layers, SizeIs(6));
  EXPECT_EQ(config.layers[5].in_channels, 64);
  EXPECT_EQ(config.layers[5].out_channels, 10);
  EXPECT_EQ(config.layers[5].kernel_size, 1);
  EXPECT_EQ(config.classifier.in_dim, 450);
  EXPECT_EQ(config.classifier.num_layers, 0);
  EXPECT_EQ(config.classifier.dropout, 0.5);
  EXPECT_TRUE(config.classifier.batch_norm);
}

// What the parser makes of plugin.toml, written down again key by key. A member that is new stops
// the bindings from compiling; one whose key is not in plugin.toml makes the tables differ.
Value written_down(const CnnLstmConfig& config) {
  const auto& [words, answers, lstm, layers, classifier] = config;
  const auto& [input_size, hidden_size, num_layers, proj_size, dropout, bias, bidirectional] = lstm;
  const auto& [in_dim, out_dim, hidden_dim, hidden_layers, mlp_dropout, activation, batch_norm,
               params] = classifier;
  EXPECT_EQ(hidden_dim, in_dim);  // no key: it follows in_dim
  EXPECT_EQ(out_dim, answers);    // no key: it is the number of answers
  EXPECT_THAT(params.path(), ::testing::EndsWith("classifier.params"));
  Value::Array input_dims;
  Value::Array output_dims;
  Value::Array kernel_sizes;
  for (const auto& [in_channels, out_channels, kernel_size] : layers) {
    input_dims.emplace_back(in_channels);
    output_dims.emplace_back(out_channels);
    kernel_sizes.emplace_back(kernel_size);
  }
  Value all;
  all["losses"] = Value::Array{"logit_bce"};  // the host's
  all["text_vocab_size"] = words;
  all["num_final_outputs"] = answers;
  all["text_embedding"]["embedding_dim"] = input_size;
  all["lstm"] = Value::Table{
      {"input_size", input_size}, {"hidden_size", hidden_size},
      {"num_layers", num_layers}, {"proj_size", proj_size},
      {"dropout", dropout},       {"bias", bias},
      {"batch_first", true},      {"bidirectional", bidirectional},
  };
  all["cnn"]["layers"] = Value::Table{{"input_dims", std::move(input_dims)},
                                      {"output_dims", std::move(output_dims)},
                                      {"kernel_sizes", std::move(kernel_sizes)}};
  all["classifier"]["type"] = "mlp";
  all["classifier"]["params"] =
      Value::Table{{"in_dim", in_dim},
                   {"num_layers", hidden_layers},
                   {"hidden_act", activation == nn::Activation::kRelu ? "relu" : "another"},
                   {"batch_norm", batch_norm},
                   {"dropout", mlp_dropout}};
  return all;
}

TEST(CnnLstmConfigTest, PluginTomlHasEveryKeyWithTheValueThatIsUsed) {
  const Config defaults = model_config("cnn_lstm", {kSizes});
  EXPECT_EQ(to_string(written_down(CnnLstmConfig::parse(defaults))), to_string(defaults.value()));
}

// torch's, for the keys that MMF's defaults leave out.
TEST(CnnLstmConfigTest, AKeyThatIsLeftOutHasTheValueOfPluginToml) {
  Value table = model_config("cnn_lstm", {kSizes}).value();
  for (const char* key : {"num_layers", "proj_size", "dropout", "bias", "batch_first"}) {
    table["lstm"].as_table().erase(key);
  }
  table["classifier"]["params"] = Value::Table{{"in_dim", 450}};
  const CnnLstmConfig parsed = CnnLstmConfig::parse(Config(std::move(table)));
  EXPECT_EQ(to_string(written_down(parsed)), to_string(model_config("cnn_lstm", {kSizes}).value()));
}

TEST(CnnLstmConfigTest, TheConfigChoosesTheActivation) {
  EXPECT_EQ(parse("classifier.params.hidden_act = 'gelu'").classifier.activation,
            nn::Activation::kGelu);
  EXPECT_EQ(parse("classifier.params.hidden_act = 'tanh'").classifier.activation,
            nn::Activation::kTanh);
}

TEST(CnnLstmConfigTest, SizesMustComeFromTheDataSet) {
  EXPECT_THAT(refusal("text_vocab_size = 0"),
              HasSubstr("model_config.cnn_lstm.text_vocab_size = 0 must be the number of words; "
                        "the data set gives it"));
  EXPECT_THAT(refusal("num_final_outputs = 0"),
              HasSubstr("model_config.cnn_lstm.num_final_outputs = 0 must be the number of "
                        "answers"));
}

TEST(CnnLstmConfigTest, UnknownKeysAreRefusedAtEveryLevel) {
  EXPECT_THAT(refusal("clasifier = 1"),
              HasSubstr("model_config.cnn_lstm.clasifier is not a known key; did you mean "
                        "'classifier'?"));
  EXPECT_THAT(refusal("text_embedding.dim = 1"), HasSubstr("text_embedding.dim is not a known"));
  EXPECT_THAT(refusal("lstm.hiden_size = 1"), HasSubstr("did you mean 'hidden_size'?"));
  EXPECT_THAT(refusal("cnn.layer = 1"), HasSubstr("did you mean 'layers'?"));
  EXPECT_THAT(refusal("cnn.layers.strides = [1]"), HasSubstr("cnn.layers.strides is not a known"));
  EXPECT_THAT(refusal("classifier.in_dim = 1"), HasSubstr("classifier.in_dim is not a known key"));
  EXPECT_THAT(refusal("classifier.params.input_dim = 1"), HasSubstr("did you mean 'in_dim'?"));
}

TEST(CnnLstmConfigTest, NumbersOutOfBoundsAreRefused) {
  const char* const changes[] = {"text_vocab_size = -1",
                                 "num_final_outputs = 1000000000000",
                                 "text_embedding.embedding_dim = 0",
                                 "lstm.input_size = 0",
                                 "lstm.hidden_size = 0",
                                 "lstm.num_layers = 0",
                                 "lstm.proj_size = 50",  // must be below hidden_size
                                 "lstm.dropout = 1.1",
                                 "cnn.layers.output_dims = [64, 128, 128, 64, 64, 0]",
                                 "cnn.layers.kernel_sizes = [7, 5, 5, 5, 5, -1]",
                                 "classifier.params.in_dim = 0",
                                 "classifier.params.hidden_dim = 0",
                                 "classifier.params.num_layers = 17",
                                 "classifier.params.dropout = 2"};
  for (const char* change : changes) {
    EXPECT_THAT(refusal(change), HasSubstr(" is out of range; expected ")) << change;
  }
}

TEST(CnnLstmConfigTest, WrongTypesAreRefused) {
  EXPECT_THAT(refusal("lstm.bidirectional = 'yes'"), HasSubstr("expected true or false"));
  EXPECT_THAT(refusal("cnn = 1"), HasSubstr("expected a table"));
  EXPECT_THAT(refusal("cnn.layers.input_dims = 3"), HasSubstr("expected an array"));
  EXPECT_THAT(refusal("classifier.params.in_dim = '450'"), HasSubstr("expected an integer"));
}

TEST(CnnLstmConfigTest, TheClassifierIsAnMlpWithAnActivationThatIsKnown) {
  EXPECT_THAT(refusal("classifier.type = 'bert'"), HasSubstr("is not one of mlp"));
  EXPECT_THAT(refusal("classifier.params.hidden_act = 'swish'"),
              HasSubstr("is not one of relu, gelu, tanh"));
}

TEST(CnnLstmConfigTest, AHiddenLayerIsAsWideAsTheInputUnlessToldOtherwise) {
  EXPECT_EQ(parse("classifier.params.in_dim = 77").classifier.hidden_dim, 77);
  EXPECT_EQ(parse("classifier.params.hidden_dim = 12").classifier.hidden_dim, 12);
}

TEST(CnnLstmConfigTest, TheNumberOfAnswersIsTheDataSets) {
  EXPECT_EQ(parse("classifier.params.out_dim = 32").num_final_outputs, 32);
  EXPECT_THAT(
      refusal("classifier.params.out_dim = 2"),
      HasSubstr("classifier.params.out_dim = 2 must be the number of answers, which is 32"));
}

TEST(CnnLstmConfigTest, LayersMustFitEachOther) {
  EXPECT_THAT(refusal("cnn.layers.output_dims = [64]"),
              HasSubstr("has 1 layers, but input_dims has 6"));
  EXPECT_THAT(refusal("cnn.layers.kernel_sizes = []"),
              HasSubstr("has 0 layers, but input_dims has 6"));
  EXPECT_THAT(refusal("cnn.layers.input_dims = []"), HasSubstr("must list the channels of 1 to"));
  EXPECT_THAT(refusal("cnn.layers.input_dims = [1, 64, 128, 128, 64, 64]"),
              HasSubstr("input_dims[0] = 1 must be 3, the channels that an image has"));
  EXPECT_THAT(refusal("cnn.layers.input_dims = [3, 64, 100, 128, 64, 64]"),
              HasSubstr("input_dims[2] = 100 must be 128, the channels that come before"));
}

TEST(CnnLstmConfigTest, TheLstmReadsTheEmbedding) {
  EXPECT_THAT(refusal("text_embedding.embedding_dim = 30"),
              HasSubstr("lstm.input_size = 20 must be text_embedding.embedding_dim, which is 30"));
  EXPECT_THAT(refusal("lstm.batch_first = false"),
              HasSubstr("must be true, because questions come as [batch, words]"));
}

}  // namespace
}  // namespace pergola::cnn_lstm
