// SPDX-License-Identifier: BSD-3-Clause
// The base of the metrics of predicted texts (what they read is in predicted_texts.h). Their state
// is counts, so they are exact for any cut into batches and order of merging, and do not grow with
// the split, apart from the samples whose words' numbers are still on the device: update() makes
// words of them, and waits for the device, once there are kMostPending; merge() and compute() do so
// too.
#pragma once

#include "host/model/metrics/predicted_texts.h"
#include "pergola/metric.h"

#include <cstdint>
#include <map>
#include <string>

namespace pergola::host {

// Counts has `void add(const Counts& other)` and `double value() const`, NaN without samples.
template <class Counts>
class TextMetric : public Metric {
 public:
  static constexpr std::int64_t kMostPending = 4096;

  void update(const SampleList& batch, const ModelOutput& output) final {
    pending_.add(batch, output);
    if (pending_.rows() < kMostPending) return;
    count_all(pending_, counts_);
    pending_.clear();
  }
  void merge(const Metric& other) final {
    const auto& that = dynamic_cast<const TextMetric&>(other);
    counts_.add(that.counts_);
    count_all(that.pending_, counts_);
  }
  [[nodiscard]] std::map<std::string, double> compute() const final {
    Counts counts = counts_;
    count_all(pending_, counts);
    return {{"", counts.value()}};
  }
  void reset() final {
    pending_.clear();
    counts_ = {};
  }

 protected:
  TextMetric(const char* name, PredictedTexts::Form form, const Config& params)
      : pending_(name, form, params) {}
  // Takes in one sample.  REQUIRES: answers is not empty.
  virtual void count(const Strings& predicted, const Strings& answers, Counts& counts) const = 0;
  [[nodiscard]] const Strings& vocabulary() const noexcept { return pending_.vocabulary(); }

 private:
  void count_all(const PredictedTexts& texts, Counts& counts) const {
    texts.visit([&](const Strings& predicted, const Strings& answers) {
      count(predicted, answers, counts);
    });
  }

  PredictedTexts pending_;
  Counts counts_;
};

}  // namespace pergola::host
