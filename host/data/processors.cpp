// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/processors.h"

#include "host/data/dataset_parts.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace pergola::host {
namespace {

// The words of `vocab_file`, or nothing when the vocabulary is built from texts.
std::optional<Strings> configured_words(const Config& params, WordFile kind) {
  const auto file = params.get<std::string>("vocab_file");
  if (file.empty()) return std::nullopt;
  return read_word_file(file, kind);
}

// The vocabulary whose words a state has; nothing for none.
std::optional<Vocab> restored_vocab(const Value& state) {
  Strings words = words_of_state(state);
  if (words.empty()) return std::nullopt;
  if (std::find(words.begin(), words.end(), kUnknownWord) == words.end()) {
    throw Error(ErrorKind::kCheckpoint, "the vocabulary of the checkpoint has no ", kUnknownWord,
                "; use another checkpoint");
  }
  return Vocab(distinct_words(std::move(words)));
}

// The tokens of all texts; equal texts, which are many, are split once.
Strings all_tokens(const Strings& texts) {
  std::unordered_map<std::string_view, Strings> seen;
  Strings tokens;
  for (const std::string& text : texts) {
    const auto [entry, is_new] = seen.try_emplace(text);
    if (is_new) entry->second = tokenize(text);
    tokens.insert(tokens.end(), entry->second.begin(), entry->second.end());
  }
  return tokens;
}

// `key` of an image processor: a number for all channels, or one for each.
std::array<double, 3> channel_values(const Config& params, const char* key) {
  std::array<double, 3> values{};
  if (!params.has(key) || !params.value().find(key)->is_array()) {
    values.fill(params.get<double>(key, 0.5));
    return values;
  }
  const auto list = params.get<std::vector<double>>(key);
  if (list.size() != values.size()) {
    throw params.error(key, "must be a number, or three: for red, green and blue");
  }
  std::copy(list.begin(), list.end(), values.begin());
  return values;
}

// Apart, and without aliases, so that the compiler makes vector instructions of it: this is most of
// what a sample costs.
void scale_bytes(const std::uint8_t* __restrict bytes, std::int64_t size, float scale, float shift,
                 float* __restrict result) {
  for (std::int64_t i = 0; i < size; ++i) result[i] = static_cast<float>(bytes[i]) * scale + shift;
}

}  // namespace

ComponentSpec VocabProcessor::spec() {
  return {"the question's words as numbers: `question` to `text` and `text_len`",
          {{.name = "max_length",
            .fallback = 14,
            .meaning = "words of a text; shorter ones are filled up, longer ones cut",
            .low = 1,
            .high = 1'000'000},
           {.name = "vocab_file",
            .fallback = "",
            .meaning = "the words, one a line; empty: those of the training texts"},
           {.name = "min_count",
            .fallback = 1,
            .meaning = "how often a word must be in the training texts to be known",
            .low = 1}}};
}

VocabProcessor::VocabProcessor(const Config& params)
    : max_length_(params.get<std::int64_t>("max_length")),
      min_count_(params.get<std::int64_t>("min_count")) {
  if (const auto words = configured_words(params, WordFile::kWords))
    vocab_ = make_text_vocab(*words);
}

void VocabProcessor::fit(const Strings& texts) {
  if (!vocab_) vocab_ = make_text_vocab(words_by_frequency(all_tokens(texts), min_count_));
}

void VocabProcessor::apply(Sample& sample, Rng& /*rng*/) const {
  PERGOLA_ASSERT(vocab_.has_value());
  const std::string& question = sample.string("question");
  const Strings tokens = tokenize(question);
  if (tokens.empty()) {
    throw Error(ErrorKind::kData, "the question '", question,
                "' has no words; give it some, or remove it");
  }
  const std::int64_t length = std::min(max_length_, static_cast<std::int64_t>(tokens.size()));
  at::Tensor text_T = at::empty({max_length_}, at::kLong);
  auto* const indices = text_T.mutable_data_ptr<std::int64_t>();
  std::transform(tokens.begin(), tokens.begin() + length, indices,
                 [this](const std::string& token) { return vocab_->index(token); });
  std::fill(indices + length, indices + max_length_, kPadIndex);
  sample.set("text", std::move(text_T));
  sample.set("text_len", scalar_of(length));
}

Value VocabProcessor::facts() const {
  PERGOLA_ASSERT(vocab_.has_value());
  return Value::Table{{"text_vocab_size", vocab_->size()}};
}

Value VocabProcessor::state_dict() const {
  PERGOLA_ASSERT(vocab_.has_value());
  return state_of_words(vocab_->words());
}

void VocabProcessor::load_state_dict(const Value& state) { vocab_ = restored_vocab(state); }

// Of one person, leaving each out leaves nobody: every target would be 0.
ComponentSpec VqaAnswerProcessor::spec() {
  return {"soft targets of several people's answers: `answers` to `targets`",
          {{.name = "num_answers",
            .fallback = 10,
            .meaning = "people that answer; fewer answers are repeated in turn",
            .low = 2,
            .high = 1'000},
           {.name = "vocab_file",
            .fallback = "",
            .meaning = "the answers, one a line; empty: those of the training split"}}};
}

VqaAnswerProcessor::VqaAnswerProcessor(const Config& params)
    : num_answers_(params.get<std::int64_t>("num_answers")) {
  if (auto words = configured_words(params, WordFile::kAnswers))
    vocab_ = make_answer_vocab(*std::move(words));
}

void VqaAnswerProcessor::fit(const Strings& texts) {
  if (vocab_) return;
  Strings answers;
  answers.reserve(texts.size());
  for (const std::string& text : texts) {
    std::string answer = normalize_answer(text);
    if (!answer.empty()) answers.push_back(std::move(answer));  // else it is nobody's answer
  }
  vocab_ = make_answer_vocab(words_by_frequency(answers, /*min_count=*/1));
}

void VqaAnswerProcessor::apply(Sample& sample, Rng& /*rng*/) const {
  const Vocab& answers = vocab();
  const Strings& given = sample.strings("answers");
  const auto given_count = static_cast<std::int64_t>(given.size());
  if (given.empty() || given_count > num_answers_) {
    throw Error(ErrorKind::kData, "a question has ", given_count, " answers, expected 1 to ",
                num_answers_, "; correct the data, or set num_answers of the answer processor");
  }
  std::vector<std::int64_t> indices;
  for (const std::string& answer : given)
    indices.push_back(answers.index(normalize_answer(answer)));
  at::Tensor targets_A = at::zeros({answers.size()}, at::kFloat);
  auto* const targets = targets_A.mutable_data_ptr<float>();
  // Repeated in turn, the first (num_answers mod given) of them come once more than the others.
  const auto people = [&](std::int64_t answer) {
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < num_answers_; ++i) {
      count += indices[static_cast<std::size_t>(i % given_count)] == answer ? 1 : 0;
    }
    return count;
  };
  for (const std::int64_t answer : indices) {
    if (answer == answers.unknown()) continue;
    const std::int64_t count = people(answer);
    const auto score = [](std::int64_t matches) {
      return std::min(1.0, static_cast<double>(matches) / 3.0);
    };
    const double sum = static_cast<double>(count) * score(count - 1) +
                       static_cast<double>(num_answers_ - count) * score(count);
    targets[answer] = static_cast<float>(sum / static_cast<double>(num_answers_));
  }
  sample.set("targets", std::move(targets_A));
}

bool VqaAnswerProcessor::knows(const std::string& answer) const {
  return vocab().index(normalize_answer(answer)) != vocab().unknown();
}

Value VqaAnswerProcessor::facts() const {
  Value::Array words;
  for (std::int64_t i = 0; i < vocab().size(); ++i) words.emplace_back(vocab().word(i));
  return Value::Table{{"num_final_outputs", vocab().size()}, {"answers", std::move(words)}};
}

Value VqaAnswerProcessor::state_dict() const {
  return state_of_words(vocab_ ? vocab_->words() : Strings());
}

void VqaAnswerProcessor::load_state_dict(const Value& state) { vocab_ = restored_vocab(state); }

const Vocab& VqaAnswerProcessor::vocab() const {
  PERGOLA_ASSERT(vocab_.has_value());
  return *vocab_;
}

ComponentSpec ImageProcessor::spec() {
  return {
      "an image's bytes as (value / 255 - mean) / std",
      {{.name = "mean",
        .fallback = {},
        .meaning = "a number, or one for red, green and blue; 0.5 when it is left out"},
       {.name = "std", .fallback = {}, .meaning = "likewise, above 0; 0.5 when it is left out"}}};
}

ImageProcessor::ImageProcessor(const Config& params) {
  const auto mean = channel_values(params, "mean");
  const auto std = channel_values(params, "std");
  for (std::size_t channel = 0; channel < kChannels; ++channel) {
    if (!(std[channel] > 0)) throw params.error("std", "must be above 0");
    scale_[channel] = static_cast<float>(1.0 / (255.0 * std[channel]));
    shift_[channel] = static_cast<float>(-mean[channel] / std[channel]);
  }
}

void ImageProcessor::apply(Sample& sample, Rng& /*rng*/) const {
  const at::Tensor image_3HW = sample.tensor("image").contiguous();
  if (image_3HW.scalar_type() != at::kByte || image_3HW.dim() != 3 ||
      image_3HW.size(0) != std::int64_t{kChannels}) {
    throw Error(ErrorKind::kData, "field 'image' is ", image_3HW.dtype(), " ", image_3HW.sizes(),
                ", but the processor 'image' takes uint8 [3, height, width]; choose another one");
  }
  at::Tensor result_3HW = at::empty(image_3HW.sizes(), at::kFloat);
  const auto* bytes = image_3HW.const_data_ptr<std::uint8_t>();
  auto* result = result_3HW.mutable_data_ptr<float>();
  const std::int64_t size = image_3HW.size(1) * image_3HW.size(2);
  for (std::size_t channel = 0; channel < kChannels; ++channel) {
    scale_bytes(bytes, size, scale_[channel], shift_[channel], result);
    bytes += size;
    result += size;
  }
  sample.set("image", std::move(result_3HW));
}

}  // namespace pergola::host
