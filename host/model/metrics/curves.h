// SPDX-License-Identifier: BSD-3-Clause
// The metrics of the ROC and the precision-recall curve (MMF's metrics.py, which calls
// scikit-learn). They depend on the order of all scores of the split, so these have to be kept: 5
// bytes for each sample and class (5 for each sample where class 1 alone counts), on the model's
// device.
// Legend: B = batch, C = classes.
#pragma once

#include "host/model/metrics/average.h"
#include "pergola/component.h"
#include "pergola/metric.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace pergola::host {

// With P positives, N negatives, and tp, fp of them among what scores at least a threshold:
enum class CurveValue {
  kRocAuc,             // area under tp / P over fp / N; of equal scores half is right
  kAveragePrecision,   // sum over thresholds of (growth of tp / P) * tp / (tp + fp)
  kRecallAtPrecision,  // the highest tp / P where tp / (tp + fp) >= p_threshold; 0 if nowhere
};

// One key of the registry.
struct CurveForm {
  const char* key;
  CurveValue value;
  Average average;  // kChosen: "macro" at first
};

// Scores [B, C], C >= 2, with kBinary 2, as scikit-learn has it; targets are class numbers [B] or
// [B, 1], or [B, C]: those above 0.5 are positive, or with kBinary a sample whose first of the
// highest is class 1. A class number outside [0, C) is negative for every class. What is ordered
// are the softmax's probabilities, kept as their logarithms, which tell confident ones apart where
// a probability of 1 does not. As with scikit-learn, ROC-AUC is NaN for a class that has no
// positives or no negatives, and so is the macro mean; average precision is 0 for one without
// positives. The result is NaN when a sample has no probabilities: a score that is not a number,
// two of +inf, or all of them -inf. One of +inf has probability 1.
class CurveMetric : public Metric {
 public:
  // Throws Error{kData} when shapes do not fit, or the number of classes changes or is none that
  // the metric takes.
  void update(const SampleList& batch, const ModelOutput& output) final;
  void merge(const Metric& other) final;
  [[nodiscard]] std::map<std::string, double> compute() const final;
  void reset() final;

 protected:
  CurveMetric(const CurveForm& form, const Config& params);
  [[nodiscard]] static ComponentSpec spec_of(const CurveForm& form);

 private:
  [[nodiscard]] double value() const;
  void check_classes(std::int64_t classes) const;

  const CurveForm& form_;
  Average average_;
  double p_threshold_;
  std::int64_t classes_ = 0;             // 0 before the first batch
  std::vector<at::Tensor> log_softmax_;  // float32 [B, C], or [B, 1] with kBinary
  std::vector<at::Tensor> positives_;    // bool, the same shapes
};

template <const CurveForm& kForm>
class Curve final : public CurveMetric {
 public:
  [[nodiscard]] static ComponentSpec spec() { return spec_of(kForm); }
  explicit Curve(const Config& params) : CurveMetric(kForm, params) {}
};

inline constexpr CurveForm kRocAuc{"roc_auc", CurveValue::kRocAuc, Average::kChosen};
inline constexpr CurveForm kMacroRocAuc{"macro_roc_auc", CurveValue::kRocAuc, Average::kMacro};
inline constexpr CurveForm kMicroRocAuc{"micro_roc_auc", CurveValue::kRocAuc, Average::kMicro};
inline constexpr CurveForm kAp{"ap", CurveValue::kAveragePrecision, Average::kChosen};
inline constexpr CurveForm kMacroAp{"macro_ap", CurveValue::kAveragePrecision, Average::kMacro};
inline constexpr CurveForm kMicroAp{"micro_ap", CurveValue::kAveragePrecision, Average::kMicro};
inline constexpr CurveForm kBinaryAp{"binary_ap", CurveValue::kAveragePrecision, Average::kBinary};
inline constexpr CurveForm kRecallAtPrecision{"r@pk", CurveValue::kRecallAtPrecision,
                                              Average::kBinary};

}  // namespace pergola::host
