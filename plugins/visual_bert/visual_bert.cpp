// SPDX-License-Identifier: BSD-3-Clause
#include "visual_bert.h"

#include "pergola/nn/module.h"
#include "state_names.h"

#include <torch/types.h>

#include <algorithm>

namespace pergola::visual_bert {
namespace {

constexpr const char* kBase = "model.bert";
constexpr int kImages = 2;  // of nlvr2

// [B, k, ...] of `dims` dimensions and one more as [B * k, ...].
at::Tensor without_choices(const at::Tensor& x, std::int64_t dims) {
  return x.dim() == dims + 1 ? x.flatten(0, 1) : x;
}

at::Tensor optional_field(const SampleList& batch, const char* name, std::int64_t dims) {
  return batch.has(name) ? without_choices(batch.tensor(name), dims) : at::Tensor();
}

}  // namespace

VisualBert::VisualBert(const Config& config)
    : BaseModel(config), options_(VisualBertConfig::parse(config)) {}

// In MMF's order, which is the order of the state dict.
void VisualBert::build() {
  const nn::BertConfig& bert = options_.bert;
  const std::string base = kBase;
  embeddings_ =
      nn::nest(*this, base + ".embeddings", std::make_shared<VisualBertEmbeddings>(options_));
  encoder_ = nn::nest(*this, base + ".encoder", std::make_shared<nn::BertEncoder>(bert));
  pooler_ = nn::nest(*this, base + ".pooler", std::make_shared<nn::BertPooler>(bert));
  if (options_.bypass_transformer) {
    additional_layer_ =
        nn::nest(*this, base + ".additional_layer", std::make_shared<nn::BertLayer>(bert));
  }
  torch::nn::Module& model = nn::child_level(*this, "model");
  switch (options_.head) {
    case Head::kPretraining:
      pretraining_ = model.register_module(
          "cls", std::make_shared<PretrainingHeads>(bert, embeddings_->word_weight()));
      break;
    case Head::kClassification:
      answers_ = AnswerHead(model, options_, bert.hidden_size);
      break;
    case Head::kNlvr2:
      answers_ = AnswerHead(model, options_, kImages * bert.hidden_size);
      break;
  }
  nn::init_bert_weights(*this, bert.initializer_range);
  if (options_.special_visual_initialize) embeddings_->initialize_visual_from_text();
  if (options_.image_encoder) {
    image_encoder_ =
        register_module("image_encoder", std::make_shared<ImageEncoder>(*options_.image_encoder));
  }
  if (options_.freeze_base) {
    for (at::Tensor& parameter : nn::child_level(model, "bert").parameters()) {
      parameter.set_requires_grad(false);
    }
  }
}

VisualBert::Words VisualBert::read_words(const SampleList& batch) {
  constexpr std::int64_t kDims = 2;
  if (!batch.has("input_ids")) {
    const at::Tensor& text_BL = batch.tensor("text");
    if (!batch.has("text_len")) return {text_BL, at::ones_like(text_BL), {}};
    const at::Tensor places_L = at::arange(text_BL.size(-1), text_BL.options());
    return {text_BL, places_L.lt(batch.tensor("text_len").unsqueeze(1)), {}};
  }
  Words words{without_choices(batch.tensor("input_ids"), kDims),
              optional_field(batch, "input_mask", kDims),
              optional_field(batch, "segment_ids", kDims)};
  if (!words.mask.defined()) words.mask = at::ones_like(words.ids);
  if (words.mask.sizes() != words.ids.sizes()) {
    throw Error(ErrorKind::kData, "input_ids has the shape ", words.ids.sizes(), " and input_mask ",
                words.mask.sizes(), "; expected one shape [batch, words]");
  }
  return words;
}

VisualBert::Regions VisualBert::read_regions(const SampleList& batch) {
  if (image_encoder_) {
    const at::Tensor regions_BRF = image_encoder_->forward(batch.tensor("image"));
    return {regions_BRF,
            at::ones(regions_BRF.sizes().slice(0, 2), regions_BRF.options().dtype(at::kBool))};
  }
  const at::Tensor features = without_choices(batch.tensor("image_feature_0"), /*dims=*/3);
  if (features.dim() != 3 || features.size(2) != options_.visual_embedding_dim) {
    throw Error(ErrorKind::kData, "image_feature_0 has the shape ", features.sizes(),
                "; visual_bert expects [batch, regions, ", options_.visual_embedding_dim,
                "]; set visual_embedding_dim to the width of the features");
  }
  const at::Tensor places_R = at::arange(features.size(1), features.options().dtype(at::kLong));
  const char* const info = "image_info_0";
  if (!batch.has(info) || !batch.group(info).has("max_features")) {
    return {features, at::ones_like(places_R).expand({features.size(0), -1})};
  }
  const at::Tensor counts_B = batch.group(info).tensor("max_features").flatten();
  return {features, places_R.lt(counts_B.unsqueeze(1))};
}

// One after the other along the batch.
VisualBert::Regions VisualBert::read_both_images(const SampleList& batch) {
  const Regions first = read_regions(batch.group("img0"));
  const Regions second = read_regions(batch.group("img1"));
  if (first.features.sizes() != second.features.sizes()) {
    throw Error(ErrorKind::kData, "img0 has regions ", first.features.sizes(), " and img1 ",
                second.features.sizes(), "; expected one shape for both");
  }
  return {at::cat({first.features, second.features}), at::cat({first.mask, second.mask})};
}

at::Tensor VisualBert::encode(const Words& words, const Regions& regions,
                              const at::Tensor& alignment, nn::BertTrace* trace) {
  const at::Tensor input_BTD =
      embeddings_->forward(words.ids, words.types, regions.features, alignment);
  const nn::TokenMask all(at::cat({words.mask.ne(0), regions.mask.ne(0)}, /*dim=*/1));
  if (!additional_layer_) return encoder_->forward(input_BTD, all, trace);
  const std::int64_t length = words.ids.size(1);
  const at::Tensor text_BLD =
      encoder_->forward(input_BTD.narrow(1, 0, length), nn::TokenMask(words.mask), trace);
  const at::Tensor joined_BTD =
      at::cat({text_BLD, input_BTD.narrow(1, length, input_BTD.size(1) - length)}, /*dim=*/1);
  if (options_.bert.attention != nn::AttentionKind::kPacked) {
    return additional_layer_->forward(joined_BTD, all);
  }
  return all.unpack(additional_layer_->forward(all.pack(joined_BTD), all));
}

at::Tensor VisualBert::pool(const at::Tensor& hidden_BTD, const Words& words) {
  if (options_.pooler == PoolerStrategy::kDefault) return pooler_->forward(hidden_BTD);
  const at::Tensor last_B = (words.mask.ne(0).sum(1) - 2).clamp_min(0);
  return hidden_BTD.gather(1, last_B.view({-1, 1, 1}).expand({-1, 1, hidden_BTD.size(2)}))
      .squeeze(1);
}

ModelOutput VisualBert::forward(const SampleList& batch) {
  const bool two_images = options_.head == Head::kNlvr2;
  Words words = read_words(batch);
  const Regions regions = two_images ? read_both_images(batch) : read_regions(batch);
  if (two_images) {
    for (at::Tensor* of : {&words.ids, &words.mask, &words.types}) {
      if (of->defined()) *of = at::cat({*of, *of});
    }
  }
  const bool traced = options_.output_attentions || options_.output_hidden_states;
  nn::BertTrace trace;
  const at::Tensor hidden_BTD =
      encode(words, regions, optional_field(batch, "image_text_alignment", /*dims=*/3),
             traced ? &trace : nullptr);
  ModelOutput output;
  if (pretraining_) {
    const at::Tensor labels_BL = without_choices(batch.tensor("lm_label_ids"), /*dims=*/2);
    const at::Tensor logits_BLV = pretraining_->forward(hidden_BTD.narrow(1, 0, words.ids.size(1)));
    const std::string key =
        concat(batch.dataset_type(), "/", batch.dataset_name(), "/masked_lm_loss");
    output.losses = LossMap{{key, masked_lm_loss(logits_BLV, labels_BL)}};
  } else {
    at::Tensor pooled_BD = pool(hidden_BTD, words);
    if (two_images) pooled_BD = at::cat(pooled_BD.chunk(kImages), /*dim=*/1);
    output.scores =
        answers_.forward(at::dropout(pooled_BD, options_.bert.hidden_dropout_prob, is_training()));
  }
  for (std::size_t i = 0; options_.output_hidden_states && i < trace.hidden_states.size(); ++i) {
    output.fields[concat("hidden_states_", i)] = trace.hidden_states[i];
  }
  for (std::size_t i = 0; i < trace.attentions.size(); ++i) {
    output.fields[concat("attentions_", i)] = trace.attentions[i];
  }
  return output;
}

bool VisualBert::makes_losses() const { return options_.head == Head::kPretraining; }

std::string VisualBert::format_state_key(const std::string& key) const { return current_name(key); }

void VisualBert::on_pretrained_loaded(const LoadReport& report) {
  const std::string own = concat(kBase, ".embeddings.position_embeddings_visual.weight");
  const bool missing = std::ranges::find(report.missing_keys, own) != report.missing_keys.end();
  if (missing && options_.special_visual_initialize) embeddings_->initialize_visual_from_text();
}

std::vector<ParameterGroup> VisualBert::optimizer_parameters(const Config& optimizer_config) const {
  return nn::bert_parameter_groups(*this, optimizer_config, [&](const std::string& name) {
    return name.starts_with(kBase) ? options_.finetune_lr_multiplier : 1.0;
  });
}

PERGOLA_REGISTER_MODEL(VisualBert, "visual_bert");

}  // namespace pergola::visual_bert
