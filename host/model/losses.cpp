// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/losses.h"

#include "pergola/error.h"

#include <ATen/ATen.h>

namespace pergola::host {
namespace {

// Scores and targets of one shape, or an Error{kData} that shows both.
void require_same_shape(const char* loss, const at::Tensor& scores, const at::Tensor& targets) {
  if (scores.sizes() == targets.sizes()) return;
  throw Error(ErrorKind::kData, "loss ", loss, ": scores are ", scores.sizes(), " and targets ",
              targets.sizes(), "; expected one shape [batch, classes]");
}

}  // namespace

LogitBce::LogitBce(const Config& params) { params.allow_only({}); }

LossMap LogitBce::compute(const SampleList& batch, const ModelOutput& output) {
  const at::Tensor& targets = batch.tensor("targets");
  require_same_shape("logit_bce", output.scores, targets);
  const at::Tensor mean = at::binary_cross_entropy_with_logits(output.scores, targets);
  return {{"", mean * targets.size(1)}};
}

CrossEntropy::CrossEntropy(const Config& params)
    : ignore_index_(params.get<std::int64_t>("ignore_index", -100)),
      label_smoothing_(params.get_float("label_smoothing", 0.0, 0.0, 1.0)),
      reduction_(params.get_choice("reduction", "mean", {"mean", "sum"}) == "sum"
                     ? at::Reduction::Sum
                     : at::Reduction::Mean) {
  params.allow_only({"ignore_index", "label_smoothing", "reduction"});
}

LossMap CrossEntropy::compute(const SampleList& batch, const ModelOutput& output) {
  const at::Tensor& targets = batch.tensor("targets");
  if (targets.dim() > 1) require_same_shape("cross_entropy", output.scores, targets);
  return {{"", at::cross_entropy_loss(output.scores, targets, /*weight=*/{}, reduction_,
                                      ignore_index_, label_smoothing_)}};
}

}  // namespace pergola::host
