// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/f1.h"

#include "host/model/metrics/class_scores.h"
#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <limits>
#include <string>

namespace pergola::host {
namespace {

struct Ratios {
  double f1 = 0;
  double precision = 0;
  double recall = 0;
};

double ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

Ratios ratios(std::int64_t hit, std::int64_t chosen, std::int64_t actual) {
  return {ratio(2 * hit, chosen + actual), ratio(hit, chosen), ratio(hit, actual)};
}

// How often each class occurs in `classes_B`, whose numbers go up to C for "no class".
at::Tensor occurrences(const at::Tensor& classes_B, std::int64_t classes) {
  const at::Tensor none = at::zeros({classes + 1}, classes_B.options());
  return none.scatter_add(0, classes_B, at::ones_like(classes_B)).slice(0, 0, classes);
}

ClassCounts count_classes(const ClassScores& input) {
  const std::int64_t none = input.classes();
  const at::Tensor chosen_B = input.scores.argmax(1).masked_fill(~chooses(input.scores), none);
  const at::Tensor numbers_B = target_classes(input);
  const at::Tensor target_B = numbers_B.masked_fill(numbers_B.lt(0) | numbers_B.gt(none), none);
  const at::Tensor hit_B = chosen_B.masked_fill(chosen_B.ne(target_B), none);
  return {occurrences(hit_B, none), occurrences(chosen_B, none), occurrences(target_B, none)};
}

ClassCounts count_labels(const ClassScores& input) {
  const at::Tensor chosen_BC = input.scores.sigmoid().gt(0.5);
  const at::Tensor target_BC = target_labels(input);
  return {(chosen_BC & target_BC).sum(0), chosen_BC.sum(0), target_BC.sum(0)};
}

Ratios averaged(const ClassCounts& counts, Average average, Labels labels) {
  const at::Tensor hit_C = counts.hit.cpu();
  const at::Tensor chosen_C = counts.chosen.cpu();
  const at::Tensor actual_C = counts.actual.cpu();
  if (average == Average::kMicro) {
    return ratios(hit_C.sum().item<std::int64_t>(), chosen_C.sum().item<std::int64_t>(),
                  actual_C.sum().item<std::int64_t>());
  }
  const auto hit = hit_C.accessor<std::int64_t, 1>();
  const auto chosen = chosen_C.accessor<std::int64_t, 1>();
  const auto actual = actual_C.accessor<std::int64_t, 1>();
  if (average == Average::kBinary) return ratios(hit[1], chosen[1], actual[1]);
  Ratios sum;
  double weights = 0;
  for (std::int64_t c = 0; c < hit.size(0); ++c) {
    const bool occurs = labels == Labels::kAny || chosen[c] + actual[c] > 0;
    const double weight =
        average == Average::kWeighted ? static_cast<double>(actual[c]) : (occurs ? 1.0 : 0.0);
    const Ratios one = ratios(hit[c], chosen[c], actual[c]);
    sum.f1 += weight * one.f1;
    sum.precision += weight * one.precision;
    sum.recall += weight * one.recall;
    weights += weight;
  }
  if (weights == 0) return {};
  return {sum.f1 / weights, sum.precision / weights, sum.recall / weights};
}

}  // namespace

ComponentSpec F1Metric::spec_of(const F1Form& form) {
  const bool one = form.labels == Labels::kOne;
  ComponentSpec spec{concat(form.values == Values::kF1 ? "F1" : "F1, precision and recall",
                            average_meaning(form.average),
                            one ? "; a sample's class is its highest score"
                                : "; a sample's labels are those whose sigmoid is above 0.5")};
  if (form.average == Average::kChosen) {
    spec.params.push_back(one ? average_param("binary", {"binary", "micro", "macro", "weighted"})
                              : average_param("micro", {"micro", "macro", "weighted"}));
  }
  return spec;
}

F1Metric::F1Metric(const F1Form& form, const Config& params)
    : form_(form), average_(chosen_average(form.average, params)) {}

void F1Metric::update(const SampleList& batch, const ModelOutput& output) {
  const at::NoGradGuard no_grad;
  const ClassScores input =
      class_scores(form_.key, batch, output, average_ == Average::kBinary ? 2 : 1);
  if (average_ == Average::kBinary && form_.average == Average::kChosen) {
    require_two_classes(concat(form_.key, " with average = \"binary\""), input,
                        "set its params to {average = \"macro\"}, \"micro\" or \"weighted\"");
  } else if (average_ == Average::kBinary) {
    require_two_classes(form_.key, input);
  }
  add(form_.labels == Labels::kOne ? count_classes(input) : count_labels(input));
  samples_ += input.batch_size();
}

void F1Metric::merge(const Metric& other) {
  const auto& that = dynamic_cast<const F1Metric&>(other);
  if (that.counts_.hit.defined()) add(that.counts_);
  samples_ += that.samples_;
}

void F1Metric::add(const ClassCounts& counts) {
  if (!counts_.hit.defined()) {
    counts_ = counts;
    return;
  }
  if (counts_.hit.size(0) != counts.hit.size(0)) {
    throw Error(ErrorKind::kData, form_.key, " has counted ", counts_.hit.size(0),
                " classes so far, and now the scores have ", counts.hit.size(0),
                "; a model's scores must have as many classes in each batch of a split");
  }
  const at::Device device = counts_.hit.device();
  counts_.hit = counts_.hit + counts.hit.to(device);
  counts_.chosen = counts_.chosen + counts.chosen.to(device);
  counts_.actual = counts_.actual + counts.actual.to(device);
}

std::map<std::string, double> F1Metric::compute() const {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const Ratios values =
      samples_ == 0 ? Ratios{kNan, kNan, kNan} : averaged(counts_, average_, form_.labels);
  if (form_.values == Values::kF1) return {{"", values.f1}};
  return {{"f1", values.f1}, {"precision", values.precision}, {"recall", values.recall}};
}

void F1Metric::reset() {
  counts_ = {};
  samples_ = 0;
}

}  // namespace pergola::host
