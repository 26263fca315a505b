// SPDX-License-Identifier: BSD-3-Clause
// Verbs of the tests of text metrics: batches made of numbers of words, and the reference's
// numbers.
#pragma once

#include "host/support/files.h"
#include "host/support/json.h"
#include "unit/model/metrics/metric_helpers.h"

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <vector>

namespace pergola::host {

// tests/golden/text_metrics.json: of MMF's own evaluators and nltk
// (tools/reference/text_metrics.py).
inline const Value& text_golden() {
  static const Value kValue = [] {
    const std::string path = PERGOLA_GOLDEN_DIR "/text_metrics.json";
    return from_json(read_file(path, ErrorKind::kData), path);
  }();
  return kValue;
}

inline Strings strings_of(const Value& array) {
  Strings strings;
  for (const Value& item : array.as_array()) strings.push_back(item.as_string());
  return strings;
}

inline Value array_of(const Strings& strings) {
  Value::Array array;
  for (const std::string& item : strings) array.emplace_back(item);
  return Value(array);
}

// One sample: the numbers of the words that the model predicts, and what the batch has.
struct TextSample {
  std::vector<std::int64_t> ids;
  Strings answers;
  Strings context_tokens = {};
};

struct TextBatch {
  SampleList batch;
  ModelOutput output;
};

// Scores [B, T, C] whose highest are these numbers; places after a sample's last have `end`.
inline at::Tensor scores_for(const std::vector<TextSample>& samples, std::int64_t classes,
                             std::int64_t end) {
  std::size_t places = 1;
  for (const TextSample& sample : samples) places = std::max(places, sample.ids.size());
  at::Tensor scores = at::zeros(
      {static_cast<std::int64_t>(samples.size()), static_cast<std::int64_t>(places), classes});
  for (std::size_t i = 0; i < samples.size(); ++i) {
    for (std::size_t t = 0; t < places; ++t) {
      const std::int64_t id = t < samples[i].ids.size() ? samples[i].ids[t] : end;
      scores[static_cast<std::int64_t>(i)][static_cast<std::int64_t>(t)][id] = 1;
    }
  }
  return scores;
}

inline SampleList fields_of(const std::vector<TextSample>& samples) {
  std::vector<Strings> answers;
  std::vector<Strings> context;
  for (const TextSample& sample : samples) {
    answers.push_back(sample.answers);
    context.push_back(sample.context_tokens);
  }
  SampleList batch;
  batch.add_field("answers", answers);
  batch.add_field("context_tokens", context);
  return batch;
}

inline double value_of_texts(const std::string& key, const Value& vocabulary,
                             const std::vector<TextSample>& samples, const at::Tensor& scores) {
  const auto metric = make_metric(key, {{"answers", vocabulary}});
  ModelOutput output;
  output.scores = scores;
  metric->update(fields_of(samples), output);
  return value_of(*metric);
}

}  // namespace pergola::host
