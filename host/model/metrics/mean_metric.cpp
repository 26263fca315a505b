// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/mean_metric.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <limits>

namespace pergola::host {

void MeanMetric::update(const SampleList& batch, const ModelOutput& output) {
  const at::NoGradGuard no_grad;
  const at::Tensor values_B = values(batch, output);
  const at::Tensor sum = values_B.sum(at::kDouble);
  sum_ = sum_.defined() ? sum_ + sum : sum;
  count_ += values_B.size(0);
}

void MeanMetric::merge(const Metric& other) {
  const auto& that = dynamic_cast<const MeanMetric&>(other);
  if (that.count_ == 0) return;
  sum_ = sum_.defined() ? sum_ + that.sum_.to(sum_.device()) : that.sum_;
  count_ += that.count_;
}

std::map<std::string, double> MeanMetric::compute() const {
  if (count_ == 0) return {{"", std::numeric_limits<double>::quiet_NaN()}};
  return {{"", sum_.item<double>() / static_cast<double>(count_)}};
}

void MeanMetric::reset() {
  sum_.reset();
  count_ = 0;
}

}  // namespace pergola::host
