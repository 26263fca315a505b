// SPDX-License-Identifier: BSD-3-Clause
// BLEU-4 over a whole split (Papineni et al., 2002), as nltk's corpus_bleu without smoothing:
//   exp(min(0, 1 - references' length / predictions' length) + mean over n = 1..4 of ln p_n)
// where p_n is the share of the predictions' n-grams that are in one of their references, each as
// often as in the one that has it most. The reference closest in length counts for the length, of
// two the shorter. Without a common word it is 0.
#pragma once

#include "host/model/metrics/text_metric.h"
#include "pergola/component.h"

#include <array>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

namespace pergola::host {

// All that BLEU-4 needs of a split: counts, so it is exact for any cut and order.
struct BleuCounts {
  static constexpr std::size_t kOrders = 4;
  std::array<std::int64_t, kOrders> matches{};  // of 1-grams to 4-grams
  std::array<std::int64_t, kOrders> ngrams{};   // at least 1 a sample, as nltk counts
  std::int64_t predicted_length = 0;
  std::int64_t reference_length = 0;
  std::int64_t samples = 0;

  // REQUIRES: references is not empty.
  void add(const Strings& predicted, const std::vector<Strings>& references);
  void add(const BleuCounts& other);
  // NaN without samples.
  [[nodiscard]] double value() const;
};

// caption_bleu4: `answers` of the batch are the reference captions, split by tokenize(); words of
// them that the vocabulary does not have are <unk>, where it has that.
class CaptionBleu4 final : public TextMetric<BleuCounts> {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit CaptionBleu4(const Config& params);

 private:
  void count(const Strings& predicted, const Strings& answers, BleuCounts& counts) const override;
  [[nodiscard]] Strings reference_words(const std::string& caption) const;

  std::unordered_set<std::string> known_;  // words; empty when there is no <unk>
};

}  // namespace pergola::host
