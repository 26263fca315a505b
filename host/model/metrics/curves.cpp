// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/curves.h"

#include "host/model/metrics/class_scores.h"
#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <limits>
#include <tuple>

namespace pergola::host {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// How many positives and negatives score at least each threshold, from the highest one on. A
// threshold is a score that occurs, so equal scores pass it together.
struct Counts {
  at::Tensor tp;  // int64 [T]
  at::Tensor fp;
  std::int64_t positives;
  std::int64_t negatives;
};

Counts count_by_threshold(const at::Tensor& score_N, const at::Tensor& positive_N) {
  const auto [sorted_N, order_N] = score_N.sort(/*dim=*/0, /*descending=*/true);
  const std::int64_t last = score_N.size(0) - 1;
  const at::Tensor ends_N = sorted_N.slice(0, 1).ne(sorted_N.slice(0, 0, last));
  const at::Tensor end_T =
      at::cat({ends_N.nonzero().squeeze(1), at::full({1}, last, order_N.options())});
  const at::Tensor tp_T = positive_N.index_select(0, order_N).cumsum(0).index_select(0, end_T);
  const auto positives = tp_T[-1].item<std::int64_t>();
  return {tp_T, end_T + 1 - tp_T, positives, score_N.size(0) - positives};
}

// The differences of a series that begins at 0.
at::Tensor growth(const at::Tensor& series) {
  return at::diff(series, 1, 0, at::zeros({1}, series.options()));
}

// Whole numbers until the last division, so the result is exact.
double roc_auc(const Counts& counts) {
  if (counts.positives == 0 || counts.negatives == 0) return kNan;
  const at::Tensor height = 2 * counts.tp - growth(counts.tp);  // sum of both sides
  const auto twice = (growth(counts.fp) * height).sum().item<std::int64_t>();
  return static_cast<double>(twice) / 2 / static_cast<double>(counts.positives) /
         static_cast<double>(counts.negatives);
}

double average_precision(const Counts& counts) {
  if (counts.positives == 0) return 0;
  const at::Tensor precision = counts.tp.to(at::kDouble) / (counts.tp + counts.fp);
  return (growth(counts.tp) * precision).sum().item<double>() /
         static_cast<double>(counts.positives);
}

double recall_at_precision(const Counts& counts, double p_threshold) {
  if (counts.positives == 0) return 0;
  const at::Tensor precision = counts.tp.to(at::kDouble) / (counts.tp + counts.fp);
  const at::Tensor reached = counts.tp * precision.ge(p_threshold);
  return static_cast<double>(reached.max().item<std::int64_t>()) /
         static_cast<double>(counts.positives);
}

// log softmax in float32. Computed in float64 and then rounded, so that rows which are equal but
// for a shift are ties. That of the highest class comes from the sum of the others, which keeps its
// digits where 1 - p and 1 are the same number. A score of +inf has all of the probability.
at::Tensor log_probabilities(const at::Tensor& scores_BC) {
  const at::Tensor wide_BC = scores_BC.to(at::kDouble);
  const auto [best_B1, which_B1] = wide_BC.max(1, /*keepdim=*/true);
  const at::Tensor shifted_BC = (wide_BC - best_B1).scatter(1, which_B1, 0);
  const at::Tensor others_B1 = shifted_BC.exp().scatter(1, which_B1, 0).sum(1, /*keepdim=*/true);
  return (shifted_BC - others_B1.log1p()).to(at::kFloat);
}

// One column of all parts, or all of them, in one row.
at::Tensor joined(const std::vector<at::Tensor>& parts, std::int64_t column) {
  std::vector<at::Tensor> columns;
  columns.reserve(parts.size());
  for (const at::Tensor& part : parts) {
    const at::Tensor here = part.to(parts[0].device());
    columns.push_back(column < 0 ? here.flatten() : here.select(1, column));
  }
  return at::cat(columns);
}

}  // namespace

ComponentSpec CurveMetric::spec_of(const CurveForm& form) {
  ComponentSpec spec;
  switch (form.value) {
    case CurveValue::kRocAuc:
      spec.summary = concat("area under the ROC curve", average_meaning(form.average));
      break;
    case CurveValue::kAveragePrecision:
      spec.summary = concat("average precision", average_meaning(form.average));
      break;
    case CurveValue::kRecallAtPrecision:
      spec.summary = "highest recall of class 1 at a precision of at least p_threshold";
      spec.params.push_back({.name = "p_threshold",
                             .fallback = {},
                             .meaning = "the precision, as a share or, from 1 on, in percent",
                             .low = 0,
                             .type = Value::Type::kFloat,
                             .need = ParamSpec::Need::kRequired});
      break;
  }
  if (form.average == Average::kChosen) {
    spec.params.push_back(average_param("macro", {"macro", "micro", "weighted"}));
  }
  return spec;
}

CurveMetric::CurveMetric(const CurveForm& form, const Config& params)
    : form_(form),
      average_(chosen_average(form.average, params)),
      p_threshold_(params.get<double>("p_threshold", 0.0)) {
  if (p_threshold_ >= 1) p_threshold_ /= 100;
}

void CurveMetric::update(const SampleList& batch, const ModelOutput& output) {
  const at::NoGradGuard no_grad;
  const ClassScores input = class_scores(form_.key, batch, output, /*min_classes=*/2);
  if (average_ == Average::kBinary) require_two_classes(form_.key, input);
  check_classes(input.classes());
  classes_ = input.classes();
  const at::Tensor log_softmax_BC = log_probabilities(input.scores);
  if (average_ == Average::kBinary) {
    log_softmax_.push_back(log_softmax_BC.slice(1, 1, 2).clone());  // without the other columns
    positives_.push_back(target_classes(input).eq(1).unsqueeze(1));
  } else {
    log_softmax_.push_back(log_softmax_BC);
    positives_.push_back(target_labels(input));
  }
}

void CurveMetric::merge(const Metric& other) {
  const auto& that = dynamic_cast<const CurveMetric&>(other);
  if (that.classes_ == 0) return;
  check_classes(that.classes_);
  classes_ = that.classes_;
  log_softmax_.insert(log_softmax_.end(), that.log_softmax_.begin(), that.log_softmax_.end());
  positives_.insert(positives_.end(), that.positives_.begin(), that.positives_.end());
}

void CurveMetric::check_classes(std::int64_t classes) const {
  if (classes_ == 0 || classes_ == classes) return;
  throw Error(ErrorKind::kData, form_.key, " has seen scores of ", classes_,
              " classes so far, and now of ", classes,
              "; a model's scores must have as many classes in each batch of a split");
}

std::map<std::string, double> CurveMetric::compute() const { return {{"", value()}}; }

double CurveMetric::value() const {
  const at::NoGradGuard no_grad;
  std::int64_t samples = 0;
  for (const at::Tensor& part : log_softmax_) {
    if (part.isnan().any().item<bool>()) return kNan;
    samples += part.size(0);
  }
  if (samples == 0) return kNan;
  const std::int64_t columns = average_ == Average::kMicro ? 1 : log_softmax_[0].size(1);
  double sum = 0;
  double weights = 0;
  for (std::int64_t column = 0; column < columns; ++column) {
    const std::int64_t which = average_ == Average::kMicro ? -1 : column;
    const Counts counts =
        count_by_threshold(joined(log_softmax_, which), joined(positives_, which));
    const double weight =
        average_ == Average::kWeighted ? static_cast<double>(counts.positives) : 1.0;
    if (weight == 0) continue;
    double one = 0;
    switch (form_.value) {
      case CurveValue::kRocAuc:
        one = roc_auc(counts);
        break;
      case CurveValue::kAveragePrecision:
        one = average_precision(counts);
        break;
      case CurveValue::kRecallAtPrecision:
        one = recall_at_precision(counts, p_threshold_);
        break;
    }
    sum += weight * one;
    weights += weight;
  }
  return weights == 0 ? 0 : sum / weights;
}

void CurveMetric::reset() {
  classes_ = 0;
  log_softmax_.clear();
  positives_.clear();
}

}  // namespace pergola::host
