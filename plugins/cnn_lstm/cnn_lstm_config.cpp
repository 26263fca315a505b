// SPDX-License-Identifier: BSD-3-Clause
#include "cnn_lstm_config.h"

namespace pergola::cnn_lstm {
namespace {

constexpr std::int64_t kMaxDim = 1 << 16;
constexpr std::int64_t kMaxLayers = 16;  // each halves the image
constexpr std::int64_t kMaxKernel = 31;
constexpr std::int64_t kClassifierInDim = 450;  // for CLEVR's images

LstmConfig parse_lstm(const Config& config, std::int64_t embedding_dim) {
  config.allow_only({"input_size", "hidden_size", "num_layers", "proj_size", "dropout", "bias",
                     "bidirectional", "batch_first"});
  LstmConfig lstm;
  lstm.input_size = config.get_integer("input_size", lstm.input_size, 1, kMaxDim);
  lstm.hidden_size = config.get_integer("hidden_size", lstm.hidden_size, 1, kMaxDim);
  lstm.num_layers = config.get_integer("num_layers", lstm.num_layers, 1, kMaxLayers);
  lstm.proj_size = config.get_integer("proj_size", lstm.proj_size, 0, lstm.hidden_size - 1);
  lstm.dropout = config.get_float("dropout", lstm.dropout, 0.0, 1.0);
  lstm.bias = config.get<bool>("bias", lstm.bias);
  lstm.bidirectional = config.get<bool>("bidirectional", lstm.bidirectional);
  if (!config.get<bool>("batch_first", true)) {
    throw config.error("batch_first", "must be true, because questions come as [batch, words]");
  }
  if (lstm.input_size != embedding_dim) {
    throw config.error("input_size",
                       concat("must be text_embedding.embedding_dim, which is ", embedding_dim));
  }
  return lstm;
}

std::vector<ConvNetConfig> parse_layers(const Config& config) {
  using Numbers = std::vector<std::int64_t>;
  config.allow_only({"input_dims", "output_dims", "kernel_sizes"});
  const auto input_dims = config.get<Numbers>("input_dims");
  const auto output_dims = config.get<Numbers>("output_dims");
  const auto kernel_sizes = config.get<Numbers>("kernel_sizes");
  if (input_dims.empty() || input_dims.size() > kMaxLayers) {
    throw config.error("input_dims",
                       concat("must list the channels of 1 to ", kMaxLayers, " layers"));
  }
  for (const auto& [key, list] :
       {std::pair("output_dims", &output_dims), std::pair("kernel_sizes", &kernel_sizes)}) {
    if (list->size() != input_dims.size()) {
      throw config.error(
          key, concat("has ", list->size(), " layers, but input_dims has ", input_dims.size()));
    }
  }
  std::vector<ConvNetConfig> layers;
  std::int64_t channels = 3;  // red, green, blue
  for (std::size_t i = 0; i < input_dims.size(); ++i) {
    const auto item = [i](const char* key) { return concat(key, "[", i, "]"); };
    if (input_dims[i] != channels) {
      throw config.error(item("input_dims"), concat("must be ", channels, ", the channels that ",
                                                    i == 0 ? "an image has" : "come before"));
    }
    channels = config.get_integer(item("output_dims"), 0, 1, kMaxDim);
    layers.push_back(
        {input_dims[i], channels, config.get_integer(item("kernel_sizes"), 0, 1, kMaxKernel)});
  }
  return layers;
}

}  // namespace

CnnLstmConfig CnnLstmConfig::parse(const Config& config) {
  config.allow_only({"losses", "text_vocab_size", "num_final_outputs", "text_embedding", "lstm",
                     "cnn", "classifier"});
  const Config embedding = config.table("text_embedding");
  embedding.allow_only({"embedding_dim"});
  const Config cnn = config.table("cnn");
  cnn.allow_only({"layers"});

  CnnLstmConfig parsed;
  parsed.text_vocab_size = config.get_fact("text_vocab_size", "words");
  parsed.num_final_outputs = config.get_fact("num_final_outputs", "answers");
  parsed.lstm =
      parse_lstm(config.table("lstm"), embedding.get_integer("embedding_dim", 20, 1, kMaxDim));
  parsed.layers = parse_layers(cnn.table("layers"));
  parsed.classifier =
      nn::MlpConfig::parse(config, "classifier", kClassifierInDim, parsed.num_final_outputs);
  return parsed;
}

}  // namespace pergola::cnn_lstm
