// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/bert_processors.h"

#include "host/data/vocab.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace pergola::host {
namespace {

using Special = BertTokenizer::Special;

constexpr std::int64_t kNoLabel = -1;

ComponentSpec make_spec(const char* summary, double mask_probability) {
  return {summary,
          {{.name = "vocab_file",
            .fallback = {},
            .meaning = "the vocab.txt of the weights: a token a line, its id the line's number",
            .type = Value::Type::kString,
            .need = ParamSpec::Need::kRequired},
           {.name = "do_lower_case",
            .fallback = true,
            .meaning = "whether the vocabulary is of small letters without accents"},
           {.name = "max_seq_length",
            .fallback = 128,
            .meaning = "tokens of a text; shorter ones are filled up with [PAD], longer ones cut",
            .low = 3,
            .high = 1'000'000},
           {.name = "mask_probability",
            .fallback = mask_probability,
            .meaning = "the part of the tokens to predict; special ones are never chosen",
            .low = 0,
            .high = 1}}};
}

Casing casing_of(const Config& params) {
  return params.get<bool>("do_lower_case") ? Casing::kLower : Casing::kKept;
}

std::optional<BertTokenizer> read_tokenizer(const Config& params) {
  const auto file = params.get<std::string>("vocab_file");
  if (file.empty()) return std::nullopt;
  return BertTokenizer::read(file, casing_of(params));
}

// A string, or strings joined by spaces; nothing when the field is missing or empty.
std::optional<std::string> text_of(const Sample& sample, std::string_view name) {
  if (!sample.has(name)) return std::nullopt;
  if (const auto* strings = std::get_if<Strings>(&sample.fields().find(name)->second)) {
    std::string joined;
    for (const std::string& part : *strings) joined.append(joined.empty() ? "" : " ").append(part);
    return joined;
  }
  return sample.string(name);
}

std::string first_text_of(const Sample& sample) {
  for (const char* name : {"text_a", "text", "question"}) {
    if (auto text = text_of(sample, name)) return *std::move(text);
  }
  std::string names;
  for (const auto& [name, field] : sample.fields()) {
    names.append(names.empty() ? "" : ", ").append(name);
  }
  throw Error(ErrorKind::kData, "a sample has no text for BERT's tokenizer: it has the fields ",
              names.empty() ? "(none)" : names,
              ", expected text_a, text or question; let the data set give one, or choose another "
              "text processor");
}

// [T], filled up with `padding`.
at::Tensor filled_up(const std::vector<std::int64_t>& values, std::int64_t size,
                     std::int64_t padding) {
  at::Tensor result_T = at::empty({size}, at::kLong);
  auto* const rest =
      std::copy(values.begin(), values.end(), result_T.mutable_data_ptr<std::int64_t>());
  std::fill(rest, result_T.mutable_data_ptr<std::int64_t>() + size, padding);
  return result_T;
}

}  // namespace

void truncate_pair(std::vector<std::int64_t>& a, std::vector<std::int64_t>& b, std::size_t most) {
  while (a.size() + b.size() > most) (a.size() > b.size() ? a : b).pop_back();
}

ComponentSpec MaskedTokenProcessor::spec() {
  return make_spec(
      "word pieces of BERT, some of them masked: `text_a` (and `text_b`) to "
      "`input_ids`, `input_mask`, `segment_ids` and `lm_label_ids`",
      /*mask_probability=*/0.15);
}

MaskedTokenProcessor::MaskedTokenProcessor(const Config& params)
    : params_(params),
      tokenizer_(read_tokenizer(params)),
      max_seq_length_(params.get<std::int64_t>("max_seq_length")),
      mask_probability_(params.get<double>("mask_probability")) {}

void MaskedTokenProcessor::fit(const Strings& /*texts*/) {
  if (!tokenizer_) throw params_.error("vocab_file", "must name the vocab.txt of the weights");
}

Value MaskedTokenProcessor::state_dict() const { return state_of_words(tokenizer().tokens()); }

void MaskedTokenProcessor::load_state_dict(const Value& state) {
  tokenizer_.emplace(words_of_state(state), casing_of(params_), "of the checkpoint");
}

const BertTokenizer& MaskedTokenProcessor::tokenizer() const {
  PERGOLA_ASSERT(tokenizer_.has_value());
  return *tokenizer_;
}

void MaskedTokenProcessor::apply(Sample& sample, Rng& rng) const {
  Ids a = tokenizer().encode(first_text_of(sample));
  Ids b = tokenizer().encode(text_of(sample, "text_b").value_or(""));
  // Beside the tokens: [CLS], and a [SEP] behind each text.
  const auto length = static_cast<std::size_t>(max_seq_length_);
  truncate_pair(a, b, length - (b.empty() ? 2 : 3));

  Ids ids{tokenizer().id(Special::kFirst)};
  Ids labels{kNoLabel};
  Ids segments{0};
  const auto add = [&](Ids& part, std::int64_t segment) {
    const Ids part_labels = mask(part, rng);
    ids.insert(ids.end(), part.begin(), part.end());
    labels.insert(labels.end(), part_labels.begin(), part_labels.end());
    ids.push_back(tokenizer().id(Special::kSeparator));
    labels.push_back(kNoLabel);
    segments.resize(ids.size(), segment);
  };
  add(a, /*segment=*/0);
  if (!b.empty()) add(b, /*segment=*/1);

  Strings tokens;
  tokens.reserve(ids.size());
  for (const std::int64_t id : ids) tokens.push_back(tokenizer().token(id));
  sample.set("tokens", std::move(tokens));
  sample.set("input_ids", filled_up(ids, max_seq_length_, tokenizer().id(Special::kPad)));
  sample.set("input_mask", filled_up(Ids(ids.size(), 1), max_seq_length_, 0));
  sample.set("segment_ids", filled_up(segments, max_seq_length_, 0));
  sample.set("lm_label_ids", filled_up(labels, max_seq_length_, kNoLabel));
}

MaskedTokenProcessor::Ids MaskedTokenProcessor::mask(Ids& ids, Rng& rng) const {
  Ids labels(ids.size(), kNoLabel);
  if (mask_probability_ == 0) return labels;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (tokenizer().is_special(ids[i]) || rng.uniform() >= mask_probability_) continue;
    labels[i] = ids[i];
    const double how = rng.uniform();
    if (how < 0.8)
      ids[i] = tokenizer().id(Special::kMask);
    else if (how < 0.9)
      ids[i] = static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(tokenizer().size())));
  }
  return labels;
}

Value MaskedTokenProcessor::facts() const {
  return Value::Table{{"text_vocab_size", tokenizer().size()}};
}

ComponentSpec BertTokenizerProcessor::spec() {
  return make_spec(
      "word pieces of BERT: `text` or `question` (and `text_b`) to `input_ids`, "
      "`input_mask`, `segment_ids`, and `lm_label_ids` of those that are masked",
      /*mask_probability=*/0.0);
}

}  // namespace pergola::host
