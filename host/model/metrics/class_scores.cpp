// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/class_scores.h"

#include "pergola/error.h"

#include <ATen/ATen.h>

#include <limits>

namespace pergola::host {
namespace {

bool fits(const at::Tensor& scores, const at::Tensor& targets, std::int64_t min_classes) {
  if (scores.dim() != 2 || scores.size(1) < min_classes) return false;
  if (targets.dim() < 1 || targets.dim() > 2 || targets.size(0) != scores.size(0)) return false;
  return targets.dim() == 1 || targets.size(1) == 1 || targets.size(1) == scores.size(1);
}

bool has_class_numbers(const ClassScores& input) {
  return input.targets.dim() == 1 || input.targets.size(1) != input.classes();
}

at::Tensor class_range(const ClassScores& input) {
  return at::arange(input.classes(), input.targets.options().dtype(at::kLong));
}

}  // namespace

const at::Tensor& output_tensor(const char* metric, const ModelOutput& output,
                                const std::string& key) {
  if (key == "scores" && output.scores.defined()) return output.scores;
  const auto found = output.fields.find(key);
  if (found != output.fields.end() && found->second.defined()) return found->second;
  std::string there = output.scores.defined() ? "scores" : "";
  for (const auto& [name, tensor] : output.fields) there += (there.empty() ? "" : ", ") + name;
  throw Error(ErrorKind::kData, metric, " needs '", key, "' of the model's output, which has ",
              there.empty() ? "nothing" : there,
              "; let forward() return it, or choose another metric");
}

at::Tensor widened(const at::Tensor& scores) {
  if (scores.scalar_type() == at::kFloat || scores.scalar_type() == at::kDouble) return scores;
  return scores.to(scores.is_floating_point() ? at::kFloat : at::kDouble);
}

ClassScores class_scores(const char* metric, const SampleList& batch, const ModelOutput& output,
                         std::int64_t min_classes, const std::string& score_key,
                         const std::string& target_key) {
  const at::Tensor& scores = output_tensor(metric, output, score_key);
  const at::Tensor& targets = batch.tensor(target_key);
  if (!fits(scores, targets, min_classes)) {
    throw Error(ErrorKind::kData, metric, " cannot compare scores ", scores.sizes(), " ('",
                score_key, "' of the model) with targets ", targets.sizes(), " ('", target_key,
                "' of the batch); expected scores [batch, classes] of at least ", min_classes,
                min_classes == 1 ? " class" : " classes",
                ", and targets of that shape or class numbers [batch]; check the model's last "
                "layer and the data set's processors");
  }
  return {widened(scores), targets};
}

void require_two_classes(const std::string& metric, const ClassScores& input,
                         const std::string& way_out) {
  if (input.classes() == 2) return;
  throw Error(ErrorKind::kData, metric, " takes two classes, but the model's scores have ",
              input.classes(), "; ", way_out);
}

at::Tensor target_classes(const ClassScores& input) {
  if (!has_class_numbers(input)) return input.targets.argmax(1);
  return input.targets.reshape({input.batch_size()}).to(at::kLong);
}

at::Tensor target_labels(const ClassScores& input) {
  if (!has_class_numbers(input)) return input.targets.gt(0.5);
  return target_classes(input).unsqueeze(1).eq(class_range(input));
}

at::Tensor chooses(const at::Tensor& scores_BC) {
  // The maximum of a row with a NaN is NaN, which is above nothing.
  return scores_BC.amax(1).gt(-std::numeric_limits<double>::infinity());
}

at::Tensor rank_of_class(const at::Tensor& scores_BC, const at::Tensor& classes_B) {
  const std::int64_t last = scores_BC.size(1) - 1;
  const at::Tensor class_B1 = classes_B.clamp(0, last).unsqueeze(1);
  const at::Tensor own_B1 = scores_BC.gather(1, class_B1);
  const at::Tensor class_C = at::arange(last + 1, class_B1.options());
  const at::Tensor tied_BC = scores_BC.eq(own_B1) & class_C.lt(class_B1);
  const at::Tensor rank_B = (scores_BC.gt(own_B1) | tied_BC).sum(1) + 1;
  const at::Tensor valid_B = chooses(scores_BC) & classes_B.ge(0) & classes_B.le(last);
  return rank_B * valid_B;
}

}  // namespace pergola::host
