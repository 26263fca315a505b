// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/class_label.h"

#include "host/data/dataset_parts.h"
#include "host/data/vocab.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace pergola::host {
namespace {

constexpr const char* kTakesNumbers = "takes_numbers";

// The whole number that a text is, or nothing; "01" is a word, and not class 1.
std::optional<std::int64_t> number_in(const std::string& text) {
  std::int64_t number = 0;
  static_cast<void>(std::from_chars(text.data(), text.data() + text.size(), number));
  if (number < 0 || text != std::to_string(number)) return std::nullopt;
  return number;
}

// "0" to the largest of `texts`, when all of them are numbers of classes; empty otherwise.
Strings numbered_classes(const Strings& texts) {
  std::int64_t largest = -1;
  for (const std::string& text : texts) {
    const auto number = number_in(text);
    if (!number || *number >= kMostClasses) return {};
    largest = std::max(largest, *number);
  }
  Strings words;
  for (std::int64_t i = 0; i <= largest; ++i) words.push_back(std::to_string(i));
  return words;
}

[[noreturn]] void refuse_no_classes() {
  throw Error(
      ErrorKind::kData,
      "there are no classes: no row of the training split has a label or an answer of more "
      "than spaces, commas and question marks; correct the rows, or list the classes in the "
      "vocab_file of processor 'class_label'");
}

}  // namespace

ComponentSpec ClassLabelProcessor::spec() {
  return {"a class as its number: `label` or the one of `answers` to `targets`",
          {{.name = "vocab_file",
            .fallback = "",
            .meaning = "the classes' words, one a line, from number 0; empty: those of the "
                       "training split"}}};
}

ClassLabelProcessor::ClassLabelProcessor(const Config& params) {
  const auto file = params.get<std::string>("vocab_file");
  if (!file.empty()) take(read_word_file(file, WordFile::kAnswers));
}

void ClassLabelProcessor::take(Strings words) {
  words_ = std::move(words);
  for (const std::string& word : words_) {
    numbers_.emplace(word, static_cast<std::int64_t>(numbers_.size()));
  }
}

void ClassLabelProcessor::fit(const Strings& texts) {
  if (!words_.empty()) return;
  Strings words;
  words.reserve(texts.size());
  for (const std::string& text : texts) words.push_back(normalize_answer(text));
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  if (!words.empty() && words.front().empty()) words.erase(words.begin());  // it says nothing
  if (words.empty()) refuse_no_classes();
  Strings numbered = numbered_classes(words);
  takes_numbers_ = !numbered.empty();
  take(takes_numbers_ ? std::move(numbered) : std::move(words));
}

std::int64_t ClassLabelProcessor::number_of(const Sample& sample) const {
  if (words_.empty()) refuse_no_classes();  // with the state of one that was never fitted
  if (sample.has("label")) {
    const auto number = sample.tensor("label").item<std::int64_t>();
    if (!takes_numbers_) {
      throw Error(ErrorKind::kData, "the label is the number ", number,
                  ", but the classes are words of the training split, as '", words_.front(),
                  "'; write all labels as words or all as numbers, or list the words in the "
                  "vocab_file of processor 'class_label', which numbers them");
    }
    if (number >= 0 && number < static_cast<std::int64_t>(words_.size())) return number;
    throw Error(ErrorKind::kData, "the label ", number, " is not one of the ", words_.size(),
                " classes, expected 0 to ", static_cast<std::int64_t>(words_.size()) - 1,
                "; correct the row, or add to the vocab_file of processor 'class_label'");
  }
  const Strings& answers = sample.strings("answers");
  if (answers.size() != 1) {
    throw Error(ErrorKind::kData, "the row has ", answers.size(),
                " answers, but the processor 'class_label' takes one class; take 'vqa_answer'");
  }
  const std::string word = normalize_answer(answers.front());
  const auto found = numbers_.find(word);
  if (found != numbers_.end()) return found->second;
  constexpr std::size_t kFewEnoughToList = 100;
  throw Error(ErrorKind::kData, "'", answers.front(), "' is not one of the ", words_.size(),
              " classes; correct the row, or add it to the vocab_file of processor 'class_label'",
              words_.size() <= kFewEnoughToList ? did_you_mean(word, words_) : "");
}

void ClassLabelProcessor::apply(Sample& sample, Rng& /*rng*/) const {
  const std::int64_t number = number_of(sample);
  sample.set("targets", scalar_of(number));
  sample.set("answers", Strings{words_[static_cast<std::size_t>(number)]});
}

Value ClassLabelProcessor::state_dict() const {
  Value state = state_of_words(words_);
  state[kTakesNumbers] = takes_numbers_;
  return state;
}

void ClassLabelProcessor::load_state_dict(const Value& state) {
  take(distinct_words(words_of_state(state)));
  // Older checkpoints do not say it.
  if (const Value* const takes = state.find(kTakesNumbers)) takes_numbers_ = takes->as_boolean();
}

Value ClassLabelProcessor::facts() const {
  PERGOLA_ASSERT(!words_.empty());
  Value::Array words(words_.begin(), words_.end());
  return Value::Table{{"num_final_outputs", static_cast<std::int64_t>(words_.size())},
                      {"answers", std::move(words)}};
}

}  // namespace pergola::host
