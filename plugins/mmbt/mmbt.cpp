// SPDX-License-Identifier: BSD-3-Clause
#include "mmbt.h"

#include "pergola/nn/module.h"

#include <torch/types.h>

namespace pergola::mmbt {
namespace {

const std::string kTransformer = "model.bert.mmbt.transformer";
const std::string kModal = "model.bert.mmbt.modal_encoder";
constexpr const char* kWidthKey = "modal_hidden_size";

void replace(std::string& text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  if (at != std::string::npos) text.replace(at, from.size(), to);
}

// [B, L] one place to the left; `fill` [B, 1] comes last.
at::Tensor shifted(const at::Tensor& x_BL, const at::Tensor& fill_B1) {
  return at::cat({x_BL.narrow(1, 1, x_BL.size(1) - 1), fill_B1}, /*dim=*/1);
}

// The last word that is there, [B]. The text then begins with its second one; its segments stay
// where they are, as in MMF.
at::Tensor take_end_token(nn::BertWords& words) {
  const at::Tensor last_B1 = (words.mask.ne(0).sum(1, /*keepdim=*/true) - 1).clamp_min(0);
  const at::Tensor end_B = words.ids.gather(1, last_B1).squeeze(1);
  words.ids = shifted(words.ids, words.ids.narrow(1, words.ids.size(1) - 1, 1));
  words.mask = shifted(words.mask, at::zeros_like(words.mask.narrow(1, 0, 1)));
  return end_B;
}

}  // namespace

Mmbt::Mmbt(const Config& config) : BaseModel(config), options_(MmbtConfig::parse(config)) {}

// In MMF's order, which is the order of the state dict.
void Mmbt::build() {
  const nn::BertConfig& bert = options_.bert;
  embeddings_ =
      nn::nest(*this, kTransformer + ".embeddings", std::make_shared<nn::BertEmbeddings>(bert));
  encoder_ = nn::nest(*this, kTransformer + ".encoder", std::make_shared<nn::BertEncoder>(bert));
  pooler_ = nn::nest(*this, kTransformer + ".pooler", std::make_shared<nn::BertPooler>(bert));
  build_modal_encoder();
  torch::nn::Module& model = nn::child_level(*this, "model");
  if (options_.head == Head::kPretraining) {
    pretraining_ = model.register_module(
        "cls", std::make_shared<nn::BertPretrainingHeads>(bert, embeddings_->word_weight()));
  } else {
    answers_ = nn::BertAnswerHead(model, bert, nn::AnswerHeadKind::kMlp, bert.hidden_size,
                                  options_.num_labels);
  }
  nn::init_bert_weights(*this, bert.initializer_range);
  freeze();
}

// The tables of words, positions and segments, and the LayerNorm, are the text's, under both names.
void Mmbt::build_modal_encoder() {
  if (options_.image_encoder) {
    image_encoder_ = nn::nest(*this, kModal + ".encoder",
                              std::make_shared<nn::ImageEncoder>(*options_.image_encoder));
  }
  proj_embeddings_ =
      nn::nest(*this, kModal + ".proj_embeddings",
               torch::nn::Linear(options_.modal_hidden_size, options_.bert.hidden_size));
  const auto shared = embeddings_->named_children();
  for (const char* name :
       {"position_embeddings", "token_type_embeddings", "word_embeddings", "LayerNorm"}) {
    nn::nest(*this, kModal + "." + name, shared[name]);
  }
}

void Mmbt::freeze() {
  for (const auto& item : named_parameters()) {
    const bool text = item.key().starts_with(kTransformer);
    const bool modal = item.key().starts_with(kModal);
    if ((text && options_.freeze_text) || (modal && options_.freeze_modal)) {
      at::Tensor(item.value()).set_requires_grad(false);
    }
  }
}

// MMF's rule: the text has one segment or all; the image has one that the text has not, or else 0.
at::Tensor Mmbt::modal_types(const SampleList& batch, const nn::BertWords& words) const {
  if (batch.has("modal_token_type_ids")) return batch.tensor("modal_token_type_ids");
  const std::int64_t last = options_.num_segments - 1;
  if (!words.types.defined()) {
    return at::full({1, 1}, std::min<std::int64_t>(1, last), words.ids.options());
  }
  const at::Tensor most = words.types.max();
  const at::Tensor one_segment = most.eq(words.types.min());
  const at::Tensor when_one = most.eq(0).to(at::kLong);
  const at::Tensor when_several = most.ne(last).to(at::kLong) * last;
  const at::Tensor chosen = when_one * one_segment + when_several * one_segment.logical_not();
  return chosen.clamp_max(last).view({1, 1});  // stays on the device: nothing waits for it
}

Mmbt::ImageEnds Mmbt::take_ends(nn::BertWords& words) const {
  ImageEnds ends;
  if (options_.use_modal_start_token) ends.start_B = words.ids.select(1, 0);
  if (options_.use_modal_end_token) ends.end_B = take_end_token(words);
  return ends;
}

// Regions that are padding are left out; MMF counts them.
at::Tensor Mmbt::present(const at::Tensor& regions_BR, const at::Tensor& text_BL) const {
  const at::Tensor one_B1 = at::ones({text_BL.size(0), 1}, text_BL.options().dtype(at::kBool));
  std::vector<at::Tensor> masks;
  if (options_.use_modal_start_token) masks.push_back(one_B1);
  masks.push_back(regions_BR.ne(0));
  if (options_.use_modal_end_token) masks.push_back(one_B1);
  masks.push_back(text_BL.ne(0));
  return at::cat(masks, /*dim=*/1);
}

void Mmbt::on_before_batch_transfer(SampleList& batch) const {
  if (options_.bert.attention != nn::AttentionKind::kPacked) return;
  nn::BertWords words = nn::read_bert_words(batch);
  static_cast<void>(take_ends(words));
  const at::Tensor regions_BR =
      nn::read_region_mask(batch, options_.image_encoder, options_.modal_hidden_size, kWidthKey);
  nn::add_token_places(batch, present(regions_BR, words.mask));
}

void Mmbt::check_image(std::int64_t tokens) const {
  const std::int64_t most = embeddings_->position_weight().size(0);
  if (tokens <= most) return;
  throw Error(ErrorKind::kData, "an image has ", tokens, " tokens, but there are ", most,
              " positions; raise max_position_embeddings, or give fewer regions");
}

at::Tensor Mmbt::embed(const ImageEnds& ends, const at::Tensor& regions_BRD,
                       const at::Tensor& modal_types, const nn::BertWords& words) {
  const auto embedded = [&](const at::Tensor& ids_B) {
    return at::embedding(embeddings_->word_weight(), ids_B, /*padding_idx=*/0).unsqueeze(1);
  };
  std::vector<at::Tensor> parts;
  if (ends.start_B.defined()) parts.push_back(embedded(ends.start_B));
  parts.push_back(regions_BRD);
  if (ends.end_B.defined()) parts.push_back(embedded(ends.end_B));
  const at::Tensor tokens_BMD = at::cat(parts, /*dim=*/1);
  check_image(tokens_BMD.size(1));
  const at::Tensor image_BMD = embeddings_->finish(
      tokens_BMD + embeddings_->position_weight().narrow(0, 0, tokens_BMD.size(1)) +
      at::embedding(embeddings_->type_weight(), modal_types));
  return at::cat({image_BMD, embeddings_->forward(words.ids, words.types)}, /*dim=*/1);
}

at::Tensor Mmbt::embed_packed(const ImageEnds& ends, const at::Tensor& regions_BRD,
                              const at::Tensor& modal_types, const nn::BertWords& words,
                              const nn::TokenMask& mask) {
  embeddings_->check(words.ids, words.types);
  const std::int64_t samples = words.ids.size(0);
  const std::int64_t length = words.ids.size(1);
  const std::int64_t regions = regions_BRD.size(1);
  const at::TensorOptions options = words.ids.options();
  const auto none = [&](std::int64_t count) { return at::full({samples, count}, -1, options); };
  std::vector<at::Tensor> ids = {none(regions), words.ids};
  std::vector<at::Tensor> numbers = {
      at::arange(samples * regions, options).view({samples, regions}), none(length)};
  if (ends.end_B.defined()) {
    ids.insert(ids.begin() + 1, ends.end_B.unsqueeze(1));
    numbers.insert(numbers.begin() + 1, none(1));
  }
  if (ends.start_B.defined()) {
    ids.insert(ids.begin(), ends.start_B.unsqueeze(1));
    numbers.insert(numbers.begin(), none(1));
  }
  const std::int64_t image = mask.present().size(1) - length;
  check_image(image);
  const auto both = [&](const at::Tensor& of_image, const at::Tensor& of_text) {
    return at::cat({of_image.expand({samples, image}), of_text.expand({samples, length})}, 1);
  };
  const at::Tensor types = words.types.defined() ? words.types : at::zeros({1, length}, options);
  const std::vector<at::Tensor> rows_N = mask.pack_rows(
      {at::cat(ids, 1), both(at::arange(image, options), at::arange(length, options)),
       both(modal_types, types), at::cat(numbers, 1)});
  return embeddings_->forward_rows({rows_N[0], rows_N[1], rows_N[2], rows_N[3]},
                                   regions_BRD.flatten(0, 1));
}

ModelOutput Mmbt::forward(const SampleList& batch) {
  nn::BertWords words = nn::read_bert_words(batch);
  const nn::Regions regions =
      nn::read_regions(batch, image_encoder_.get(), options_.modal_hidden_size, kWidthKey);
  const ImageEnds ends = take_ends(words);
  const nn::TokenMask mask(present(regions.mask, words.mask), batch);
  const at::Tensor regions_BRD = proj_embeddings_->forward(regions.features);
  const at::Tensor types = modal_types(batch, words);
  const bool packed = options_.bert.attention == nn::AttentionKind::kPacked;
  const at::Tensor hidden =
      packed ? encoder_->forward_packed(embed_packed(ends, regions_BRD, types, words, mask), mask)
             : encoder_->forward(embed(ends, regions_BRD, types, words), mask);
  if (!pretraining_) {
    const at::Tensor first_B = at::zeros({words.ids.size(0)}, words.ids.options());
    const at::Tensor pooled_BD =
        pooler_->forward(packed ? mask.pick(hidden, first_B).unsqueeze(1) : hidden);
    return {.scores = answers_.forward(
                at::dropout(pooled_BD, options_.bert.hidden_dropout_prob, is_training()))};
  }
  at::Tensor labels_BL = nn::without_choices(batch.tensor("lm_label_ids"), /*dims=*/2);
  if (options_.use_modal_end_token) {  // as the words; MMF leaves them, beside the wrong words
    labels_BL = shifted(labels_BL, at::full_like(labels_BL.narrow(1, 0, 1), -1));
  }
  const at::Tensor hidden_BTD = packed ? mask.unpack(hidden) : hidden;
  const std::int64_t image = hidden_BTD.size(1) - words.ids.size(1);
  const at::Tensor logits = pretraining_->forward(hidden_BTD.narrow(1, image, labels_BL.size(1)));
  ModelOutput output;
  output.losses =
      LossMap{{concat(batch.dataset_type(), "/", batch.dataset_name(), "/masked_lm_loss"),
               nn::masked_lm_loss(logits, labels_BL)}};
  return output;
}

bool Mmbt::makes_losses() const { return options_.head == Head::kPretraining; }

bool Mmbt::enable_recompute() {
  encoder_->set_recompute(true);
  return true;
}

std::string Mmbt::format_state_key(const std::string& key) const {
  std::string current = key;
  if (current.starts_with("base.")) current = "model." + current.substr(5);
  replace(current, ".LayerNorm.gamma", ".LayerNorm.weight");
  replace(current, ".LayerNorm.beta", ".LayerNorm.bias");
  return current;
}

std::vector<ParameterGroup> Mmbt::optimizer_parameters(const Config& optimizer_config) const {
  return nn::bert_parameter_groups(*this, optimizer_config, [&](const std::string& name) {
    return name.starts_with("model.bert.") ? options_.finetune_lr_multiplier : 1.0;
  });
}

PERGOLA_REGISTER_MODEL(Mmbt, "mmbt");

}  // namespace pergola::mmbt
