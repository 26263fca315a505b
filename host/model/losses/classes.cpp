// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/losses/classes.h"

#include "host/model/losses/log_softmax.h"
#include "host/model/losses/loss_inputs.h"
#include "pergola/ops.h"

#include <ATen/ATen.h>

#include <limits>
#include <utility>

namespace pergola::host {
namespace {

constexpr std::int64_t kIgnored = -100;  // torch's and MMF's ignore_index

ParamSpec ignore_index_spec() {
  return {
      .name = "ignore_index", .fallback = kIgnored, .meaning = "the class number that is left out"};
}

ParamSpec reduction_spec(std::vector<std::string> choices) {
  return {.name = "reduction",
          .fallback = "mean",
          .meaning = "over the rows that count",
          .choices = std::move(choices)};
}

// Scores [B, C] with class numbers [B]; MMF also takes them as [B, 1].
at::Tensor row_classes(const LossInputs& in, const at::Tensor& scores) {
  const at::Tensor& targets = in.targets();
  if (scores.dim() == 2 && targets.dim() == 2 && targets.size(1) == 1 &&
      targets.size(0) == scores.size(0) &&
      at::isIntegralType(targets.scalar_type(), /*includeBool=*/false)) {
    return targets.squeeze(1).to(at::kLong);
  }
  if (scores.dim() == 2) return in.class_numbers(scores);
  throw in.misfit({{"scores", scores}, {"targets", targets}},
                  "scores [batch, classes] and class numbers (integers) [batch]");
}

// -sum of log_q[t] over the rows whose class is not `ignored`, and how many these are.
std::pair<at::Tensor, at::Tensor> sum_of_picked(const LossInputs& in, const at::Tensor& log_q,
                                                const at::Tensor& classes, std::int64_t ignored) {
  at::Tensor count;
  const at::Tensor sum = in.of_class_numbers(log_q, [&] {
    const auto found = at::nll_loss_forward(log_q, classes, {}, at::Reduction::Sum, ignored);
    count = std::get<1>(found);  // the sum of the weights
    return std::get<0>(found);
  });
  return {sum, count};
}

// 0 where nothing counts.
at::Tensor mean_over(const at::Tensor& sum, const at::Tensor& count) {
  return sum / count.clamp_min(1);
}

}  // namespace

ComponentSpec CrossEntropy::spec() {
  return {"cross entropy of logits against class numbers or class probabilities",
          {{.name = "weight",
            .fallback = {},
            .meaning = "one factor a class, an array; none: all are 1",
            .low = 0,
            .type = Value::Type::kArray},
           ignore_index_spec(),
           {.name = "label_smoothing",
            .fallback = 0.0,
            .meaning = "the share of each target that is spread over all classes",
            .low = 0,
            .high = 1},
           reduction_spec({"mean", "sum", "none"})}};
}

CrossEntropy::CrossEntropy(const Config& params)
    : ignore_index_(params.get<std::int64_t>("ignore_index")),
      label_smoothing_(params.get<double>("label_smoothing")) {
  const std::string reduction = params.get<std::string>("reduction");
  reduction_ = reduction == "mean"  ? at::Reduction::Mean
               : reduction == "sum" ? at::Reduction::Sum
                                    : at::Reduction::None;
  if (params.has("weight")) {
    weight_ = at::tensor(params.get<std::vector<double>>("weight"), at::kDouble);
  }
}

LossMap CrossEntropy::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("cross_entropy", batch, output);
  const at::Tensor logits = in.logits();
  const bool probabilities = in.targets().is_floating_point();
  if (!probabilities && !weight_.defined() && label_smoothing_ == 0 &&
      reduction_ == at::Reduction::Mean) {
    const at::Tensor classes = in.class_numbers(logits);
    return {{"", in.of_class_numbers(logits, [&] {
               return ops::cross_entropy(logits, classes, ignore_index_, ops::EmptyMean::kNan);
             })}};
  }
  const at::Tensor scores = at_least_single(logits);
  const at::Tensor targets = probabilities
                                 ? in.soft_targets(scores, LossInputs::Dimensions::kTwoOrMore)
                                 : in.class_numbers(scores);
  if (probabilities && ignore_index_ != kIgnored) {
    throw in.misfit({{"targets", targets}}, concat("class numbers (integers) [batch, ...], since "
                                                   "ignore_index = ",
                                                   ignore_index_, " names one"));
  }
  if (weight_.defined()) {
    if (weight_.size(0) != scores.size(1)) {
      throw in.misfit({{"scores", scores}, {"weight", weight_}},
                      "one weight for each of the classes, scores.size(1)");
    }
    weight_ = weight_.to(scores.options(), /*non_blocking=*/true);  // moves once
  }
  // torch's mean of smoothed and weighted class numbers waits for a GPU; its sum does not.
  const bool own_mean = !probabilities && weight_.defined() && label_smoothing_ > 0 &&
                        reduction_ == at::Reduction::Mean;
  const std::int64_t reduction = own_mean ? std::int64_t{at::Reduction::Sum} : reduction_;
  at::Tensor value = in.of_class_numbers(scores, [&] {
    return at::cross_entropy_loss(scores, targets, weight_, reduction, ignore_index_,
                                  label_smoothing_);
  });
  if (own_mean) {
    const at::Tensor ignored = targets.eq(ignore_index_).flatten();
    const at::Tensor weights = weight_.gather(0, targets.flatten().masked_fill(ignored, 0));
    value = value / weights.masked_fill(ignored, 0).sum();
  }
  return {{"", value.dim() > 1 ? value.flatten(1).mean(1) : value}};
}

ComponentSpec NllLoss::spec() {
  return {
      "negative log likelihood of log-probabilities at the highest target, averaged and multiplied "
      "with the number of classes"};
}

LossMap NllLoss::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("nll_loss", batch, output);
  const at::Tensor scores = in.scores();
  const at::Tensor classes = in.soft_targets(scores).argmax(1);
  return {{"", at::nll_loss(scores, classes) * scores.size(1)}};
}

ComponentSpec SoftLabelCrossEntropy::spec() {
  return {"cross entropy of logits against soft targets, which need not sum to 1",
          {ignore_index_spec(),
           reduction_spec({"mean", "sum"}),
           {.name = "normalize_targets",
            .fallback = true,
            .meaning = "divide each row of targets by its sum"}}};
}

SoftLabelCrossEntropy::SoftLabelCrossEntropy(const Config& params)
    : ignore_index_(params.get<std::int64_t>("ignore_index")),
      mean_(params.get<std::string>("reduction") == "mean"),
      normalize_targets_(params.get<bool>("normalize_targets")) {}

LossMap SoftLabelCrossEntropy::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("soft_label_cross_entropy", batch, output);
  const at::Tensor scores = in.scores();
  constexpr double kEpsilon = std::numeric_limits<float>::epsilon();  // MMF's
  const bool numbers = in.targets().dim() == 1 || in.targets().size(1) == 1;
  if (numbers && !in.targets().is_floating_point()) {
    const at::Tensor classes = row_classes(in, scores);
    const auto [picked, count] =
        sum_of_picked(in, at::log_softmax(scores, 1), classes, ignore_index_);
    const at::Tensor sum = normalize_targets_ ? picked / (1 + kEpsilon) : picked;
    return {{"", mean_ ? mean_over(sum, count) : sum}};
  }
  const at::Tensor targets = in.soft_targets(scores);
  // A row whose sum is 0 has only zeros, so that it needs no mask.
  const at::Tensor sums_B = targets.sum(1);
  at::Tensor divisor = normalize_targets_ ? at::rsub(sums_B, -kEpsilon)
                                          : at::full({}, -1, at::dtype(scores.scalar_type()));
  // The norm of order 0 is how many are not 0.
  if (mean_) divisor = divisor * at::linalg_vector_norm(sums_B, 0).clamp_min_(1);
  return {{"", log_softmax_sum(scores, targets, /*offset=*/std::nullopt, divisor)}};
}

ComponentSpec LabelSmoothingCrossEntropy::spec() {
  return {
      "cross entropy of logits against class numbers, a share of which goes to the other "
      "classes",
      {{.name = "label_smoothing",
        .fallback = 0.1,
        .meaning = "the share that the other classes have together; below 1",
        .low = 0,
        .high = 1},
       reduction_spec({"mean", "sum"}),
       ignore_index_spec()}};
}

LabelSmoothingCrossEntropy::LabelSmoothingCrossEntropy(const Config& params)
    : label_smoothing_(params.get<double>("label_smoothing")),
      mean_(params.get<std::string>("reduction") == "mean"),
      ignore_index_(params.get<std::int64_t>("ignore_index")) {
  if (label_smoothing_ == 1) {
    throw params.error("label_smoothing",
                       "leaves nothing for the class itself; expected a number "
                       "from 0 to below 1");
  }
}

LossMap LabelSmoothingCrossEntropy::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("label_smoothing_cross_entropy", batch, output);
  const at::Tensor scores = in.scores();
  const at::Tensor classes = row_classes(in, scores);
  if (scores.size(1) < 2) {
    throw in.misfit({{"scores", scores}}, "at least two classes, [batch, 2 or more]");
  }
  const double other = label_smoothing_ / static_cast<double>(scores.size(1) - 1);
  const at::Tensor log_q = at::log_softmax(scores, 1);
  const auto [picked, count] = sum_of_picked(in, log_q, classes, ignore_index_);
  const at::Tensor all = log_q.sum(1).masked_fill(classes.eq(ignore_index_), 0).sum();
  const at::Tensor sum = picked * (1 - label_smoothing_ - other) - all * other;
  return {{"", mean_ ? mean_over(sum, count) : sum}};
}

ComponentSpec CaptionCrossEntropy::spec() {
  return {
      "cross entropy of logits [batch, steps, vocabulary] against word numbers, averaged over the "
      "steps before each caption's end (caption_len - 1)"};
}

LossMap CaptionCrossEntropy::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("caption_cross_entropy", batch, output);
  const at::Tensor scores = in.logits();
  const at::Tensor& words = in.targets();
  const bool has_lengths = batch.has("caption_len");
  if (scores.dim() != 3 || words.dim() != 2 || words.size(0) != scores.size(0) ||
      !at::isIntegralType(words.scalar_type(), /*includeBool=*/false) ||
      (!has_lengths && scores.size(1) < words.size(1))) {
    throw in.misfit({{"scores", scores}, {"targets", words}},
                    "scores [batch, steps, vocabulary] and word numbers (integers) "
                    "[batch, steps]");
  }
  // A model may stop at the longest caption of its batch, before the end of the padding. Nothing is
  // cut where all are left: the gradient of a part is copied into zeros.
  const std::int64_t steps = std::min(scores.size(1), words.size(1));
  const at::Tensor scores_BTV = steps < scores.size(1) ? scores.narrow(1, 0, steps) : scores;
  at::Tensor words_BT = (steps < words.size(1) ? words.narrow(1, 0, steps) : words).to(at::kLong);
  at::Tensor too_long;
  if (has_lengths) {
    const at::Tensor& caption_len = batch.tensor("caption_len");
    if (caption_len.sizes() != words.sizes().slice(0, 1)) {
      throw in.misfit({{"targets", words}, {"caption_len", caption_len}}, "caption_len [batch]");
    }
    // Of caption_len steps the last is left out: step number t, from 0, counts if t + 1 is less.
    const at::Tensor next_T = at::arange(1, steps + 1, caption_len.options());
    words_BT = words_BT.masked_fill(next_T.ge(caption_len.unsqueeze(1)), kIgnored);
    if (steps < words.size(1)) too_long = caption_len.gt(steps + 1).any();
  }
  const at::Tensor scores_RV = scores_BTV.flatten(0, 1);  // R = B * T
  const at::Tensor mean = in.of_class_numbers(scores_RV, [&] {
    return ops::cross_entropy(scores_RV, words_BT.flatten(), kIgnored, ops::EmptyMean::kZero);
  });
  if (!too_long.defined()) return {{"", mean}};
  // Rather no number than one without the steps that the model did not score.
  return {{"", mean.masked_fill(too_long, std::numeric_limits<double>::quiet_NaN())}};
}

}  // namespace pergola::host
