// SPDX-License-Identifier: BSD-3-Clause
#include "cnn_lstm.h"

#include "pergola/nn/module.h"

#include <torch/nn/modules/container/modulelist.h>
#include <torch/types.h>

#include <string>
#include <tuple>

namespace pergola::cnn_lstm {

CnnLstm::CnnLstm(const Config& config)
    : BaseModel(config), options_(CnnLstmConfig::parse(config)) {}

void CnnLstm::build() {
  const LstmConfig& lstm = options_.lstm;
  text_embedding_ = register_module(
      "text_embedding", torch::nn::Embedding(options_.text_vocab_size, lstm.input_size));
  lstm_ = register_module("lstm",
                          torch::nn::LSTM(torch::nn::LSTMOptions(lstm.input_size, lstm.hidden_size)
                                              .num_layers(lstm.num_layers)
                                              .bias(lstm.bias)
                                              .dropout(lstm.dropout)
                                              .bidirectional(lstm.bidirectional)
                                              .proj_size(lstm.proj_size)
                                              .batch_first(true)));
  auto cnn = register_module("cnn", torch::nn::ModuleList());
  for (const ConvNetConfig& layer : options_.layers) {
    cnn_.push_back(std::make_shared<ConvNet>(layer));
    cnn->push_back(cnn_.back());
  }
  classifier_ =
      nn::nest(*this, "classifier.module", std::make_shared<nn::Mlp>(options_.classifier));
}

ModelOutput CnnLstm::forward(const SampleList& batch) {
  const at::Tensor text_BH = read_text(batch);
  const at::Tensor image_BF = see_image(batch);
  const std::int64_t width = text_BH.size(1) + image_BF.size(1);
  if (width != options_.classifier.in_dim) {
    throw config().error("classifier.params.in_dim",
                         concat("does not fit images of ", batch.tensor("image").sizes().slice(2),
                                ": the LSTM gives ", text_BH.size(1), " numbers and the image ",
                                image_BF.size(1), "; set it to ", width));
  }
  return ModelOutput{classifier_->forward(at::cat({text_BH, image_BF}, /*dim=*/1))};
}

// The last hidden state of each layer and direction, side by side.
at::Tensor CnnLstm::read_text(const SampleList& batch) {
  const at::Tensor& text_BT = batch.tensor("text");
  if (text_BT.dim() != 2 || text_BT.size(1) == 0 || text_BT.scalar_type() != at::kLong) {
    throw Error(ErrorKind::kData, "text has the shape ", text_BT.sizes(), " and the type ",
                text_BT.scalar_type(), "; cnn_lstm expects int64 word numbers, [batch, words]");
  }
  const auto output = lstm_->forward(text_embedding_->forward(text_BT));
  const at::Tensor& last_XBH = std::get<0>(std::get<1>(output));  // X = layers * directions
  return last_XBH.transpose(0, 1).flatten(/*start_dim=*/1);
}

at::Tensor CnnLstm::see_image(const SampleList& batch) {
  at::Tensor x_BDNN = batch.tensor("image");
  const std::int64_t smallest = std::int64_t{1} << cnn_.size();  // each layer halves the image
  if (x_BDNN.dim() != 4 || x_BDNN.size(1) != options_.layers.front().in_channels ||
      x_BDNN.size(2) < smallest || x_BDNN.size(3) < smallest) {
    throw Error(ErrorKind::kData, "image has the shape ", x_BDNN.sizes(), "; cnn_lstm with ",
                cnn_.size(), " layers expects [batch, 3, height, width] of at least ", smallest,
                " x ", smallest, " pixels");
  }
  x_BDNN = x_BDNN.contiguous(at::MemoryFormat::ChannelsLast);  // twice as fast on a CPU
  for (const auto& layer : cnn_) {
    x_BDNN = layer->forward(x_BDNN);
  }
  return x_BDNN.flatten(/*start_dim=*/1);
}

PERGOLA_REGISTER_MODEL(CnnLstm, "cnn_lstm");

}  // namespace pergola::cnn_lstm
