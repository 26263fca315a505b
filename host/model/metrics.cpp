// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics.h"

#include "pergola/error.h"

#include <ATen/ATen.h>

#include <limits>

namespace pergola::host {

void MeanMetric::update(const SampleList& batch, const ModelOutput& output) {
  const at::NoGradGuard no_grad;
  const at::Tensor& targets = batch.tensor("targets");
  const at::Tensor& scores = output.scores;
  if (!scores.defined() || scores.dim() != 2 || targets.size(0) != scores.size(0) ||
      (targets.dim() == 2 && targets.size(1) != scores.size(1)) || targets.dim() > 2) {
    throw Error(ErrorKind::kData, "a metric cannot compare scores ",
                scores.defined() ? concat(scores.sizes()) : "(none)", " with targets ",
                targets.sizes(),
                "; expected scores [batch, classes] and targets of that shape or [batch]");
  }
  const at::Tensor sum = values(scores, targets).sum(at::kDouble);
  sum_ = sum_.defined() ? sum_ + sum : sum;
  count_ += scores.size(0);
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

Accuracy::Accuracy(const Config& params) : topk_(params.get_integer("topk", 1, 1)) {
  params.allow_only({"topk"});
}

at::Tensor Accuracy::values(const at::Tensor& scores, const at::Tensor& targets) const {
  const at::Tensor expected_B = targets.dim() == 2 ? targets.argmax(1) : targets;
  if (topk_ == 1) return scores.argmax(1).eq(expected_B);
  const std::int64_t k = std::min(topk_, scores.size(1));
  const at::Tensor best_BK = std::get<1>(scores.topk(k, 1));
  return best_BK.eq(expected_B.unsqueeze(1)).any(1);
}

VqaAccuracy::VqaAccuracy(const Config& params) { params.allow_only({}); }

at::Tensor VqaAccuracy::values(const at::Tensor& scores, const at::Tensor& targets) const {
  if (targets.dim() != 2 || scores.size(1) < 2) {
    throw Error(ErrorKind::kData,
                "vqa_accuracy needs soft targets [batch, answers] with <unk> as answer 0, not ",
                targets.sizes());
  }
  // The highest answer but <unk>: what softmax, zeroing and renormalising choose too.
  const at::Tensor answer_B = scores.slice(1, 1).argmax(1) + 1;
  return targets.gather(1, answer_B.unsqueeze(1)).squeeze(1);
}

}  // namespace pergola::host
