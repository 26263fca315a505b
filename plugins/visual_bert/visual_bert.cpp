// SPDX-License-Identifier: BSD-3-Clause
#include "visual_bert.h"

#include "pergola/nn/module.h"
#include "state_names.h"

#include <torch/types.h>

#include <algorithm>

namespace pergola::visual_bert {
namespace {

constexpr const char* kBase = "model.bert";
constexpr const char* kImageEncoder = "image_encoder";
constexpr const char* kAlignment = "image_text_alignment";
constexpr const char* kWidthKey = "visual_embedding_dim";
constexpr const char* kTextPlaces = "text_places";
constexpr int kImages = 2;  // of nlvr2

// [B, R, K], or undefined.
at::Tensor read_alignment(const SampleList& batch) {
  if (!batch.has(kAlignment)) return {};
  return nn::without_choices(batch.tensor(kAlignment), /*dims=*/3);
}

// As the regions of nlvr2, one image's after the other's; the batch's own holds for both images.
at::Tensor read_both_alignments(const SampleList& batch) {
  const at::Tensor first = read_alignment(batch.group("img0"));
  const at::Tensor second = read_alignment(batch.group("img1"));
  if (first.defined() != second.defined()) {
    throw Error(ErrorKind::kData, "img", first.defined() ? 0 : 1, " has an ", kAlignment,
                " and the other image none; expected one in both, or the batch's for both");
  }
  if (!first.defined()) {
    const at::Tensor own = read_alignment(batch);
    return own.defined() ? at::cat({own, own}) : own;
  }
  if (first.sizes() != second.sizes()) {
    throw Error(ErrorKind::kData, "img0 has an ", kAlignment, " ", first.sizes(), " and img1 ",
                second.sizes(), "; expected one shape for both");
  }
  return at::cat({first, second});
}

// Of the base, which is all but the head.
bool is_base(const std::string& parameter) {
  return parameter.starts_with(kBase) || parameter.starts_with(kImageEncoder);
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
          "cls", std::make_shared<nn::BertPretrainingHeads>(bert, embeddings_->word_weight()));
      break;
    case Head::kClassification:
      answers_ = nn::BertAnswerHead(model, bert, options_.classifier, bert.hidden_size,
                                    options_.num_labels);
      break;
    case Head::kNlvr2:
      answers_ = nn::BertAnswerHead(model, bert, options_.classifier, kImages * bert.hidden_size,
                                    options_.num_labels);
      break;
  }
  nn::init_bert_weights(*this, bert.initializer_range);
  if (options_.special_visual_initialize) embeddings_->initialize_visual_from_text();
  if (options_.image_encoder) {
    image_encoder_ =
        register_module(kImageEncoder, std::make_shared<nn::ImageEncoder>(*options_.image_encoder));
  }
  if (!options_.freeze_base) return;
  for (const auto& item : named_parameters()) {
    if (is_base(item.key())) at::Tensor(item.value()).set_requires_grad(false);
  }
}

nn::Regions VisualBert::read_regions(const SampleList& batch) {
  return nn::read_regions(batch, image_encoder_.get(), options_.visual_embedding_dim, kWidthKey);
}

// One after the other along the batch.
nn::Regions VisualBert::read_both_images(const SampleList& batch) {
  const nn::Regions first = read_regions(batch.group("img0"));
  const nn::Regions second = read_regions(batch.group("img1"));
  if (first.features.sizes() != second.features.sizes()) {
    throw Error(ErrorKind::kData, "img0 has regions ", first.features.sizes(), " and img1 ",
                second.features.sizes(), "; expected one shape for both");
  }
  return {at::cat({first.features, second.features}), at::cat({first.mask, second.mask})};
}

void VisualBert::on_before_batch_transfer(SampleList& batch) const {
  if (options_.bert.attention != nn::AttentionKind::kPacked) return;
  const auto regions_of = [&](const SampleList& image) {
    return nn::read_region_mask(image, options_.image_encoder, options_.visual_embedding_dim,
                                kWidthKey)
        .ne(0);
  };
  at::Tensor words_BL = nn::read_bert_words(batch).mask.ne(0);
  at::Tensor regions_BR;
  if (options_.head == Head::kNlvr2) {
    const at::Tensor first = regions_of(batch.group("img0"));
    const at::Tensor second = regions_of(batch.group("img1"));
    if (first.sizes() != second.sizes()) return;  // forward() refuses them
    regions_BR = at::cat({first, second});
    words_BL = at::cat({words_BL, words_BL});
  } else {
    regions_BR = regions_of(batch);
  }
  nn::add_token_places(batch, at::cat({words_BL, regions_BR}, /*dim=*/1));
  if (options_.bypass_transformer) nn::add_token_places(batch, words_BL, kTextPlaces);
}

bool VisualBert::is_packed() const {
  return options_.bert.attention == nn::AttentionKind::kPacked && !additional_layer_;
}

at::Tensor VisualBert::encode(const SampleList& batch, const nn::BertWords& words,
                              const nn::Regions& regions, const nn::TokenMask& all,
                              nn::BertTrace* trace) {
  const at::Tensor alignment =
      options_.head == Head::kNlvr2 ? read_both_alignments(batch) : read_alignment(batch);
  if (is_packed()) {
    return encoder_->forward_packed(
        embeddings_->forward_packed(words.ids, words.types, regions.features, alignment, all), all,
        trace);
  }
  const at::Tensor input_BTD =
      embeddings_->forward(words.ids, words.types, regions.features, alignment);
  if (additional_layer_) return encode_bypassing(batch, input_BTD, words, all, trace);
  return encoder_->forward(input_BTD, all, trace);
}

// Regions see the additional layer alone.
at::Tensor VisualBert::encode_bypassing(const SampleList& batch, const at::Tensor& input_BTD,
                                        const nn::BertWords& words, const nn::TokenMask& all,
                                        nn::BertTrace* trace) {
  const std::int64_t length = words.ids.size(1);
  const nn::TokenMask text(words.mask, batch, kTextPlaces);
  const at::Tensor text_BLD = encoder_->forward(input_BTD.narrow(1, 0, length), text, trace);
  const at::Tensor joined_BTD =
      at::cat({text_BLD, input_BTD.narrow(1, length, input_BTD.size(1) - length)}, /*dim=*/1);
  if (options_.bert.attention != nn::AttentionKind::kPacked) {
    return additional_layer_->forward(joined_BTD, all);
  }
  return all.unpack(additional_layer_->forward(all.pack(joined_BTD), all));
}

at::Tensor VisualBert::pool(const at::Tensor& hidden, const nn::BertWords& words,
                            const nn::TokenMask& all) {
  if (options_.pooler == PoolerStrategy::kDefault) {
    if (!is_packed()) return pooler_->forward(hidden);
    const at::Tensor first_B = at::zeros({words.ids.size(0)}, words.ids.options());
    return pooler_->forward(all.pick(hidden, first_B).unsqueeze(1));
  }
  const at::Tensor last_B = (words.mask.ne(0).sum(1) - 2).clamp_min(0);
  if (is_packed()) return all.pick(hidden, last_B);
  return hidden.gather(1, last_B.view({-1, 1, 1}).expand({-1, 1, hidden.size(2)})).squeeze(1);
}

ModelOutput VisualBert::forward(const SampleList& batch) {
  const bool two_images = options_.head == Head::kNlvr2;
  nn::BertWords words = nn::read_bert_words(batch);
  const nn::Regions regions = two_images ? read_both_images(batch) : read_regions(batch);
  if (two_images) {
    for (at::Tensor* of : {&words.ids, &words.mask, &words.types}) {
      if (of->defined()) *of = at::cat({*of, *of});
    }
  }
  const bool traced = options_.output_attentions || options_.output_hidden_states;
  nn::BertTrace trace;
  const nn::TokenMask all(at::cat({words.mask.ne(0), regions.mask.ne(0)}, /*dim=*/1), batch);
  const at::Tensor hidden = encode(batch, words, regions, all, traced ? &trace : nullptr);
  ModelOutput output;
  if (pretraining_) {
    const at::Tensor labels_BL = nn::without_choices(batch.tensor("lm_label_ids"), /*dims=*/2);
    const at::Tensor hidden_BTD = is_packed() ? all.unpack(hidden) : hidden;
    const at::Tensor logits_BLV = pretraining_->forward(hidden_BTD.narrow(1, 0, words.ids.size(1)));
    const std::string key =
        concat(batch.dataset_type(), "/", batch.dataset_name(), "/masked_lm_loss");
    output.losses = LossMap{{key, nn::masked_lm_loss(logits_BLV, labels_BL)}};
  } else {
    at::Tensor pooled_BD = pool(hidden, words, all);
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

bool VisualBert::enable_recompute() {
  encoder_->set_recompute(true);
  return true;
}

std::string VisualBert::format_state_key(const std::string& key) const { return current_name(key); }

void VisualBert::on_pretrained_loaded(const LoadReport& report) {
  const std::string own = concat(kBase, ".embeddings.position_embeddings_visual.weight");
  const bool missing = std::ranges::find(report.missing_keys, own) != report.missing_keys.end();
  if (missing && options_.special_visual_initialize) embeddings_->initialize_visual_from_text();
}

std::vector<ParameterGroup> VisualBert::optimizer_parameters(const Config& optimizer_config) const {
  return nn::bert_parameter_groups(*this, optimizer_config, [&](const std::string& name) {
    return is_base(name) ? options_.finetune_lr_multiplier : 1.0;
  });
}

PERGOLA_REGISTER_MODEL(VisualBert, "visual_bert");

}  // namespace pergola::visual_bert
