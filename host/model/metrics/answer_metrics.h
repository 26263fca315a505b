// SPDX-License-Identifier: BSD-3-Clause
// Metrics that compare the text of a predicted answer with those that people gave (MMF's
// vqa_evalai_accuracy and mmf/utils/m4c_evaluators.py): means over samples. A sequence of words
// becomes one text with spaces between, and " 's" joined to its word. What they read is in
// predicted_texts.h.
#pragma once

#include "host/model/metrics/text_metric.h"
#include "pergola/component.h"

#include <cstdint>
#include <map>
#include <string>

namespace pergola::host {

// How many samples had which score. A sum of scores would depend on their order.
struct ScoreCounts {
  std::map<double, std::int64_t> samples;

  void add(const ScoreCounts& other);
  // The mean score; NaN without samples.
  [[nodiscard]] double value() const;
};

class AnswerMetric : public TextMetric<ScoreCounts> {
 protected:
  using TextMetric::TextMetric;
  // Between 0 and 1. `answers` is not empty.
  [[nodiscard]] virtual double score(const std::string& predicted,
                                     const Strings& answers) const = 0;

 private:
  void count(const Strings& predicted, const Strings& answers, ScoreCounts& counts) const final;
};

// The answers of a sample are repeated in turn up to `num_answers` people. One that c of these n
// people gave scores the mean, over leaving each of them out, of min(1, matches among the others /
// 3): (c min(1, (c - 1) / 3) + (n - c) min(1, c / 3)) / n. Compared in the form of
// normalize_evalai(). Throws Error{kData} for more answers than num_answers.
class PeopleAccuracy : public AnswerMetric {
 protected:
  PeopleAccuracy(const char* name, PredictedTexts::Form form, const Config& params);
  [[nodiscard]] static ComponentSpec spec_of(const char* summary);

 private:
  [[nodiscard]] double score(const std::string& predicted, const Strings& answers) const final;

  const char* name_;
  std::int64_t num_answers_;
};

// vqa_evalai_accuracy: of one word or answer of the vocabulary, or one context token.
class VqaEvalAiAccuracy final : public PeopleAccuracy {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit VqaEvalAiAccuracy(const Config& params);
};

// textvqa_accuracy: of a sequence of them.
class TextVqaAccuracy final : public PeopleAccuracy {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit TextVqaAccuracy(const Config& params);
};

// stvqa_anls: the best anls() over the answers.
class StVqaAnls final : public AnswerMetric {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit StVqaAnls(const Config& params);

 private:
  [[nodiscard]] double score(const std::string& predicted, const Strings& answers) const override;
};

// stvqa_accuracy and ocrvqa_accuracy: 1 when one of the answers is the same in the form of
// normalize_evalai().
class StVqaAccuracy final : public AnswerMetric {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit StVqaAccuracy(const Config& params);

 private:
  [[nodiscard]] double score(const std::string& predicted, const Strings& answers) const override;
};

}  // namespace pergola::host
