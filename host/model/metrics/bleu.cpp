// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/bleu.h"

#include "host/data/vocab.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace pergola::host {
namespace {

using Ngram = std::array<std::int64_t, BleuCounts::kOrders>;  // words' numbers, then -1
using NgramCounts = std::map<Ngram, std::int64_t>;

// Numbers the words of one sample.
class WordNumbers {
 public:
  std::vector<std::int64_t> of(const Strings& words) {
    std::vector<std::int64_t> numbers;
    for (const std::string& word : words) {
      const auto next = static_cast<std::int64_t>(numbers_.size());
      numbers.push_back(numbers_.try_emplace(word, next).first->second);
    }
    return numbers;
  }

 private:
  std::unordered_map<std::string_view, std::int64_t> numbers_;
};

NgramCounts count_ngrams(const std::vector<std::int64_t>& words, std::size_t order) {
  NgramCounts counts;
  for (std::size_t begin = 0; begin + order <= words.size(); ++begin) {
    Ngram ngram;
    ngram.fill(-1);
    std::copy_n(words.begin() + static_cast<std::ptrdiff_t>(begin), order, ngram.begin());
    ++counts[ngram];
  }
  return counts;
}

std::int64_t closest_length(std::int64_t length, const std::vector<Strings>& references) {
  std::pair<std::int64_t, std::int64_t> closest{INT64_MAX, 0};  // how far, how long
  for (const Strings& reference : references) {
    const auto own = static_cast<std::int64_t>(reference.size());
    closest = std::min(closest, {std::abs(own - length), own});
  }
  return closest.second;
}

}  // namespace

void BleuCounts::add(const Strings& predicted, const std::vector<Strings>& references) {
  WordNumbers numbers;
  const std::vector<std::int64_t> words = numbers.of(predicted);
  std::vector<std::vector<std::int64_t>> reference_words;
  for (const Strings& reference : references) reference_words.push_back(numbers.of(reference));
  for (std::size_t i = 0; i < kOrders; ++i) {
    NgramCounts most;
    for (const auto& reference : reference_words) {
      for (const auto& [ngram, count] : count_ngrams(reference, i + 1)) {
        most[ngram] = std::max(most[ngram], count);
      }
    }
    std::int64_t total = 0;
    for (const auto& [ngram, count] : count_ngrams(words, i + 1)) {
      const auto found = most.find(ngram);
      matches[i] += found == most.end() ? 0 : std::min(count, found->second);
      total += count;
    }
    ngrams[i] += std::max<std::int64_t>(1, total);
  }
  const auto length = static_cast<std::int64_t>(predicted.size());
  predicted_length += length;
  reference_length += closest_length(length, references);
  ++samples;
}

void BleuCounts::add(const BleuCounts& other) {
  for (std::size_t i = 0; i < kOrders; ++i) {
    matches[i] += other.matches[i];
    ngrams[i] += other.ngrams[i];
  }
  predicted_length += other.predicted_length;
  reference_length += other.reference_length;
  samples += other.samples;
}

double BleuCounts::value() const {
  if (samples == 0) return std::numeric_limits<double>::quiet_NaN();
  if (matches[0] == 0) return 0;
  double log_precisions = 0;
  for (std::size_t i = 0; i < kOrders; ++i) {
    // nltk takes the smallest float where nothing matches, so that the result is almost 0.
    const double precision = matches[i] == 0
                                 ? std::numeric_limits<double>::min()
                                 : static_cast<double>(matches[i]) / static_cast<double>(ngrams[i]);
    log_precisions += std::log(precision) / static_cast<double>(kOrders);
  }
  const double ratio =
      static_cast<double>(reference_length) / static_cast<double>(predicted_length);
  const double brevity = predicted_length > reference_length ? 1 : std::exp(1 - ratio);
  return brevity * std::exp(log_precisions);
}

ComponentSpec CaptionBleu4::spec() {
  return {"BLEU-4 of the predicted captions against the reference captions, over the whole split",
          {PredictedTexts::answers_spec()}};
}

CaptionBleu4::CaptionBleu4(const Config& params)
    : TextMetric("caption_bleu4", PredictedTexts::Form::kCaption, params) {
  const Strings& words = vocabulary();
  if (std::find(words.begin(), words.end(), kUnknownWord) != words.end()) {
    known_.insert(words.begin(), words.end());
  }
}

void CaptionBleu4::count(const Strings& predicted, const Strings& answers,
                         BleuCounts& counts) const {
  std::vector<Strings> references;
  for (const std::string& answer : answers) references.push_back(reference_words(answer));
  counts.add(predicted, references);
}

Strings CaptionBleu4::reference_words(const std::string& caption) const {
  Strings words = tokenize(caption);
  if (known_.empty()) return words;
  for (std::string& word : words) {
    if (!known_.contains(word)) word = kUnknownWord;
  }
  return words;
}

}  // namespace pergola::host
