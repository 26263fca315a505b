// SPDX-License-Identifier: BSD-3-Clause
#include "pythia.h"

#include <torch/types.h>

#include <algorithm>
#include <string_view>

namespace pergola::pythia {
namespace {

constexpr double kFineTuningFactor = 0.1;  // of the learning rate, as in MMF
constexpr std::string_view kEncoders = "image_feature_encoders.";

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

}  // namespace

Pythia::Pythia(const Config& config) : BaseModel(config), options_(PythiaConfig::parse(config)) {}

// In MMF's order, which is the order of the state dict.
void Pythia::build() {
  const std::int64_t text_dim = build_text();
  const std::int64_t image_dim = build_features(text_dim);
  combine_ = nn::nest(*this, "image_text_multi_modal_combine_layer.module",
                      std::make_shared<ElementMultiply>(image_dim, text_dim, options_.combine));
  classifier_ =
      nn::nest(*this, "classifier.module",
               std::make_shared<LogitClassifier>(options_.combine.hidden_dim,
                                                 options_.num_final_outputs, options_.classifier));
}

std::int64_t Pythia::build_text() {
  const std::int64_t width = options_.text_embeddings.front().embedding_dim;
  word_embedding_ =
      register_module("word_embedding", torch::nn::Embedding(options_.text_vocab_size, width));
  std::int64_t text_dim = 0;
  for (const TextAttentionConfig& text : options_.text_embeddings) {
    const std::string place = concat("text_embeddings.", text_embeddings_.size(), ".module");
    text_embeddings_.push_back(nn::nest(*this, place, std::make_shared<TextAttention>(text)));
    text_dim += text.out_dim();
  }
  return text_dim;
}

std::int64_t Pythia::build_features(std::int64_t text_dim) {
  std::int64_t features_read = 0;
  for (const EncoderConfig& config : options_.encoders) {
    const std::string place = concat(kEncoders, features_.size());
    features_.push_back({nn::nest(*this, place, make_encoder(config, features_read)), {}});
    features_read += config.type == EncoderType::kConvGrid ? 0 : 1;
  }
  surplus_feature_ = concat("image_feature_", features_read);

  std::int64_t image_dim = 0;
  for (std::size_t i = 0; i < features_.size(); ++i) {
    const std::int64_t dim = options_.encoders[i].dim;
    for (const ImageAttentionConfig& config : options_.image_attentions) {
      auto& attentions = features_[i].attentions;
      const std::string place = concat("image_feature_embeddings_list.", i, ".", attentions.size(),
                                       ".image_attention_model.module");
      attentions.push_back(
          nn::nest(*this, place, std::make_shared<TopDownAttention>(dim, text_dim, config)));
      image_dim += config.glimpses * dim;
    }
  }
  return image_dim;
}

ModelOutput Pythia::forward(const SampleList& batch) {
  const at::Tensor text_BQ = embed_text(batch);
  const at::Tensor joint_BJ = combine_->forward(embed_image(batch, text_BQ), text_BQ);
  return ModelOutput{classifier_->forward(joint_BJ)};
}

at::Tensor Pythia::embed_text(const SampleList& batch) {
  const at::Tensor& text_BT = batch.tensor("text");
  if (text_BT.dim() != 2 || text_BT.size(1) == 0 || text_BT.scalar_type() != at::kLong) {
    throw Error(ErrorKind::kData, "text has the shape ", text_BT.sizes(), " and the type ",
                text_BT.scalar_type(), "; pythia expects int64 word numbers, [batch, words]");
  }
  const at::Tensor words_BTE = word_embedding_->forward(text_BT);
  std::vector<at::Tensor> sums;
  sums.reserve(text_embeddings_.size());
  for (const auto& embedding : text_embeddings_) {
    sums.push_back(embedding->forward(words_BTE));
  }
  return sums.size() == 1 ? sums.front() : at::cat(sums, /*dim=*/1);
}

at::Tensor Pythia::embed_image(const SampleList& batch, const at::Tensor& text_BQ) const {
  if (batch.has(surplus_feature_)) {
    throw Error(ErrorKind::kData, "the batch has ", surplus_feature_,
                ", which no encoder reads; list one of image_feature_encodings for each feature");
  }
  std::vector<at::Tensor> sums;
  for (const Feature& feature : features_) {
    const Regions regions = feature.encoder->forward(batch);
    for (const auto& attention : feature.attentions) {
      sums.push_back(attention->forward(regions, text_BQ));
    }
  }
  return sums.size() == 1 ? sums.front() : at::cat(sums, /*dim=*/1);
}

std::string Pythia::format_state_key(const std::string& key) const {
  std::string current = key;
  replace_all(current, "fa_history", "fa_context");
  if (current.compare(0, kEncoders.size(), kEncoders) == 0) {
    replace_all(current, ".module.lc.", ".lc.");
  }
  return current;
}

std::vector<ParameterGroup> Pythia::optimizer_parameters(const Config& optimizer_config) const {
  std::vector<std::string> fine_tuned;
  for (std::size_t i = 0; i < features_.size(); ++i) {
    if (features_[i].encoder->is_fine_tuned()) {
      fine_tuned.push_back(concat(kEncoders, i, "."));
    }
  }
  ParameterGroup common;
  ParameterGroup slow;
  for (const auto& item : named_parameters()) {
    if (!item.value().requires_grad()) continue;
    const bool is_slow =
        std::any_of(fine_tuned.begin(), fine_tuned.end(),
                    [&](const std::string& prefix) { return item.key().rfind(prefix, 0) == 0; });
    ParameterGroup& group = is_slow ? slow : common;
    group.names.push_back(item.key());
    group.parameters.push_back(item.value());
  }
  if (slow.names.empty()) {
    return {common};
  }
  slow.options["lr"] = optimizer_config.get<double>("params.lr") * kFineTuningFactor;
  return {common, slow};
}

PERGOLA_REGISTER_MODEL(Pythia, "pythia");

}  // namespace pergola::pythia
