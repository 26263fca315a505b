// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/ranking.h"

#include "host/model/metrics/class_scores.h"
#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>

namespace pergola::host {
namespace {

at::Tensor padded(const at::Tensor& counts, std::int64_t size) {
  return at::constant_pad_nd(counts, {0, size - counts.size(0)});
}

}  // namespace

ComponentSpec RankMetric::spec_of(const RankForm& form) {
  switch (form.value) {
    case RankValue::kRecall:
      if (form.k == 1) return {"share of samples whose right candidate has the highest score"};
      return {concat("share of samples whose right candidate is among the ", form.k,
                     " highest scores")};
    case RankValue::kMean:
      return {"mean rank of the right candidate; the highest score has rank 1"};
    case RankValue::kMeanReciprocal:
      return {"mean of 1 / rank of the right candidate"};
  }
  return {};
}

void RankMetric::update(const SampleList& batch, const ModelOutput& output) {
  const at::NoGradGuard no_grad;
  const ClassScores input = class_scores(form_.key, batch, output);
  const at::Tensor rank_B = rank_of_class(input.scores, target_classes(input));
  const at::Tensor none = at::zeros({input.classes() + 1}, rank_B.options());
  add(none.scatter_add(0, rank_B, at::ones_like(rank_B)));
}

void RankMetric::merge(const Metric& other) {
  const auto& that = dynamic_cast<const RankMetric&>(other);
  if (that.counts_.defined()) add(that.counts_);
}

void RankMetric::add(const at::Tensor& counts) {
  if (!counts_.defined()) {
    counts_ = counts;
    return;
  }
  const std::int64_t size = std::max(counts_.size(0), counts.size(0));
  counts_ = padded(counts_, size) + padded(counts.to(counts_.device()), size);
}

std::map<std::string, double> RankMetric::compute() const {
  std::int64_t samples = 0;
  std::int64_t ranks = 0;  // their sum
  std::int64_t recalled = 0;
  double reciprocals = 0;
  const at::Tensor counts = counts_.defined() ? counts_.cpu() : at::zeros({1}, at::kLong);
  const auto count = counts.accessor<std::int64_t, 1>();
  for (std::int64_t rank = 1; rank < count.size(0); ++rank) {
    samples += count[rank];
    ranks += rank * count[rank];
    if (rank <= form_.k) recalled += count[rank];
    reciprocals += static_cast<double>(count[rank]) / static_cast<double>(rank);
  }
  samples += count[0];
  if (samples == 0) return {{"", std::numeric_limits<double>::quiet_NaN()}};
  double sum = static_cast<double>(recalled);
  if (form_.value == RankValue::kMeanReciprocal) sum = reciprocals;
  if (form_.value == RankValue::kMean) {
    sum = count[0] > 0 ? std::numeric_limits<double>::infinity() : static_cast<double>(ranks);
  }
  return {{"", sum / static_cast<double>(samples)}};
}

void RankMetric::reset() { counts_.reset(); }

}  // namespace pergola::host
