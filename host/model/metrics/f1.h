// SPDX-License-Identifier: BSD-3-Clause
// The F1 family (MMF's metrics.py, which calls scikit-learn): F1, precision and recall from the
// counts of each class. State: three int64 counts a class, so memory does not grow with the split,
// and any cut and order of merging gives the same numbers.
//   precision = tp / (tp + fp)    recall = tp / (tp + fn)    F1 = 2 tp / (2 tp + fp + fn)
// each 0 where it would be 0 / 0, as with scikit-learn's zero_division=0.
// Legend: B = batch, C = classes.
#pragma once

#include "host/model/metrics/average.h"
#include "pergola/component.h"
#include "pergola/metric.h"

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pergola::host {

// What one sample has: one class (that of the highest score, the first of equal ones), or any
// number of labels (those whose sigmoid rounds to 1; 0.5 rounds to 0, as half to even).
enum class Labels { kOne, kAny };

// Which values compute() gives: F1 under "", or "f1", "precision" and "recall".
enum class Values { kF1, kAll };

// One key of the registry. kChosen is "binary" at first with one class a sample, which needs two
// classes in all, and "micro" with any labels. kMacro with one class a sample is the mean over the
// classes that occur, in the targets or among the choices, as with scikit-learn.
struct F1Form {
  const char* key;
  Labels labels;
  Average average;
  Values values;
};

// The counts of each class, int64 [C].
struct ClassCounts {
  at::Tensor hit;     // chosen and right (tp)
  at::Tensor chosen;  // chosen (tp + fp)
  at::Tensor actual;  // in the targets (tp + fn)
};

// Scores [B, C]; targets are class numbers [B] or [B, 1], or [B, C]: for kOne the first of the
// highest counts, for kAny those above 0.5. A sample with a score that is not a number, or with
// all of them -inf, chooses no class; a label whose score is not a number is not chosen. A class
// number outside [0, C) is no class: the choice counts as a false positive.
class F1Metric : public Metric {
 public:
  // Throws Error{kData} when shapes do not fit, the number of classes changes, or there are not
  // two for "binary".
  void update(const SampleList& batch, const ModelOutput& output) final;
  void merge(const Metric& other) final;
  [[nodiscard]] std::map<std::string, double> compute() const final;
  void reset() final;

 protected:
  F1Metric(const F1Form& form, const Config& params);
  [[nodiscard]] static ComponentSpec spec_of(const F1Form& form);

 private:
  void add(const ClassCounts& counts);

  const F1Form& form_;
  Average average_;
  ClassCounts counts_;  // undefined tensors before the first batch
  std::int64_t samples_ = 0;
};

template <const F1Form& kForm>
class F1 final : public F1Metric {
 public:
  [[nodiscard]] static ComponentSpec spec() { return spec_of(kForm); }
  explicit F1(const Config& params) : F1Metric(kForm, params) {}
};

inline constexpr F1Form kF1{"f1", Labels::kOne, Average::kChosen, Values::kF1};
inline constexpr F1Form kMacroF1{"macro_f1", Labels::kOne, Average::kMacro, Values::kF1};
inline constexpr F1Form kMicroF1{"micro_f1", Labels::kOne, Average::kMicro, Values::kF1};
inline constexpr F1Form kBinaryF1{"binary_f1", Labels::kOne, Average::kBinary, Values::kF1};
inline constexpr F1Form kLabelsF1{"multilabel_f1", Labels::kAny, Average::kChosen, Values::kF1};
inline constexpr F1Form kLabelsMicroF1{"multilabel_micro_f1", Labels::kAny, Average::kMicro,
                                       Values::kF1};
inline constexpr F1Form kLabelsMacroF1{"multilabel_macro_f1", Labels::kAny, Average::kMacro,
                                       Values::kF1};
inline constexpr F1Form kF1All{"f1_precision_recall", Labels::kOne, Average::kChosen, Values::kAll};
inline constexpr F1Form kBinaryF1All{"binary_f1_precision_recall", Labels::kOne, Average::kBinary,
                                     Values::kAll};
inline constexpr F1Form kMacroF1All{"macro_f1_precision_recall", Labels::kOne, Average::kMacro,
                                    Values::kAll};
inline constexpr F1Form kMicroF1All{"micro_f1_precision_recall", Labels::kOne, Average::kMicro,
                                    Values::kAll};

}  // namespace pergola::host
