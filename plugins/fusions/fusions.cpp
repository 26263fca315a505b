// SPDX-License-Identifier: BSD-3-Clause
#include "fusions.h"

#include "pergola/nn/module.h"

#include <torch/types.h>

#include <string_view>

namespace pergola::fusions {
namespace {

const std::string kText = "base.text";
const std::string kModal = "base.modal";

std::shared_ptr<TextEncoder> make_text_encoder(const FusionConfig& options) {
  if (const auto* bert = std::get_if<nn::BertConfig>(&options.text)) {
    return std::make_shared<BertText>(*bert);
  }
  return std::make_shared<BagOfWords>(std::get<BagOfWordsConfig>(options.text));
}

void replace_end(std::string& text, std::string_view from, std::string_view to) {
  if (text.ends_with(from)) text.replace(text.size() - from.size(), from.size(), to);
}

}  // namespace

FusionModel::FusionModel(const Config& config, Text text, Fusion fusion)
    : BaseModel(config), fusion_(fusion), options_(FusionConfig::parse(config, text, fusion)) {}

// In MMF's order, which is the order of the state dict.
void FusionModel::build() {
  text_ = nn::nest(*this, kText, make_text_encoder(options_));
  if (options_.image_encoder) {
    image_encoder_ =
        nn::nest(*this, kModal, std::make_shared<nn::ImageEncoder>(*options_.image_encoder));
  }
  const auto classifier = [&](const char* name, const nn::MlpConfig& config) {
    return register_module(name, std::make_shared<nn::Mlp>(config));
  };
  if (fusion_ == Fusion::kConcat) {
    classifier_ = classifier("classifier", options_.classifier);
  } else {
    modal_classifier_ = classifier("modal_classifier", options_.modal_classifier);
    text_classifier_ = classifier("text_classifier", options_.text_classifier);
  }
  freeze();
}

void FusionModel::freeze() {
  for (const auto& item : named_parameters()) {
    const bool frozen = (options_.freeze_text && item.key().starts_with(kText)) ||
                        (options_.freeze_modal && item.key().starts_with(kModal));
    if (frozen) at::Tensor(item.value()).set_requires_grad(false);
  }
}

// All regions side by side, [B, R * F]; zeros where a region is padding.
at::Tensor FusionModel::see_image(const SampleList& batch) {
  const nn::Regions regions = nn::read_regions(batch, image_encoder_.get(),
                                               options_.modal_hidden_size, "modal_hidden_size");
  const std::int64_t found = regions.features.size(1);
  if (found != options_.num_features) {
    throw Error(ErrorKind::kData, "an image has ", found, " regions, but num_features is ",
                options_.num_features, "; set num_features to ", found,
                image_encoder_
                    ? std::string(", or give images of another size")
                    : concat(", or max_features of the data set to ", options_.num_features));
  }
  return regions.features.masked_fill(regions.mask.eq(0).unsqueeze(-1), 0.0).flatten(1);
}

void FusionModel::on_before_batch_transfer(SampleList& batch) const {
  const auto* const bert = std::get_if<nn::BertConfig>(&options_.text);
  if (bert == nullptr || bert->attention != nn::AttentionKind::kPacked) return;
  nn::add_token_places(batch, nn::read_bert_words(batch).mask);
}

ModelOutput FusionModel::forward(const SampleList& batch) {
  const at::Tensor text_BD = text_->forward(batch);
  const at::Tensor image_BI = see_image(batch);  // I = R * F
  if (fusion_ == Fusion::kConcat) {
    return {.scores = classifier_->forward(at::cat({text_BD, image_BI}, /*dim=*/1))};
  }
  return {.scores =
              (text_classifier_->forward(text_BD) + modal_classifier_->forward(image_BI)) / 2};
}

bool FusionModel::enable_recompute() { return text_->enable_recompute(); }

std::string FusionModel::format_state_key(const std::string& key) const {
  std::string current = key;
  replace_end(current, ".LayerNorm.gamma", ".LayerNorm.weight");
  replace_end(current, ".LayerNorm.beta", ".LayerNorm.bias");
  return current;
}

std::vector<ParameterGroup> FusionModel::optimizer_parameters(
    const Config& optimizer_config) const {
  return nn::bert_parameter_groups(*this, optimizer_config, [&](const std::string& name) {
    return name.starts_with("base.") ? options_.finetune_lr_multiplier : 1.0;
  });
}

PERGOLA_REGISTER_MODEL(ConcatBert, "concat_bert");
PERGOLA_REGISTER_MODEL(ConcatBow, "concat_bow");
PERGOLA_REGISTER_MODEL(LateFusion, "late_fusion");

}  // namespace pergola::fusions
